"""Conversion of trained ANNs (ONNX, ReLU) to rate-coded spiking networks, with their accuracy by number of time steps.

Activations become spike rates: each layer's weights are scaled by the activations that calibration samples cause, so that a rate of one
spike per step stands for a high percentile of them (Diehl et al., IJCNN 2015; Rueckauer et al., Front. Neurosci. 11:682, 2017), and neurons
are integrate-and-fire with a soft reset, whose rate over T steps is off by less than 1/T. Nothing is trained.
"""

from __future__ import annotations

from .ann import Ann, Branch, Layer
from .evaluate import Accuracy, ann_accuracy, spiking_accuracy
from .normalise import Converted, check_axes, convert
from .reader import read_ann

__all__ = ["Accuracy", "Ann", "Branch", "Converted", "Layer", "ann_accuracy", "check_axes", "convert", "read_ann", "spiking_accuracy"]
