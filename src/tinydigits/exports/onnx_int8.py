"""ONNX with 8-bit weights and activations, calibrated on training images; normalisation inside."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinydigits.environment import telemetry_off
from tinydigits.exports.onnx import load, model_proto
from tinydigits.exports.parity import Format
from tinydigits.exports.trained import Trained
from tinydigits.extras import extra

__all__ = ["FORMAT", "calibration_images", "load", "write"]

_NUM_CALIBRATION = 512


def write(trained: Trained, folder: Path) -> Path:
    """Write `<name>-int8.onnx`: the interface and the metadata of the `onnx` format, 8 bits within.

    Static quantisation by onnxruntime: weights in 8 bits with a scale for each output channel, activations in 8 bits
    with the range that they have over 512 training images.
    """
    with extra("export", "export onnx-int8"), telemetry_off():
        import onnxruntime
        from onnxruntime import quantization  # needs onnx
    proto = model_proto(trained)

    class Reader(quantization.CalibrationDataReader):
        def __init__(self) -> None:
            grey_NCHW = calibration_images(trained)[:, None].astype(np.float32) / np.float32(255)
            self.batches: Iterator[np.ndarray] = iter(np.split(grey_NCHW, len(grey_NCHW) // 64))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    logging.disable(logging.WARNING)  # it advises the preparation that is done here
    try:
        with tempfile.TemporaryDirectory(prefix="tinydigits-") as scratch:
            fused, quantised = Path(scratch) / "fused.onnx", Path(scratch) / "int8.onnx"
            options = onnxruntime.SessionOptions()
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
            options.optimized_model_filepath = str(fused)  # written by making the session: BatchNorm in convolutions
            onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
            quantization.quantize_static(
                fused, quantised, Reader(), per_channel=True, reduce_range=True,
                activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            )  # fmt: skip
            return trained.write(folder / f"{trained.stem}-int8.onnx", _with_metadata(quantised, proto))
    finally:
        logging.disable(logging.NOTSET)


def calibration_images(trained: Trained) -> np.ndarray:
    """Training images, uint8 (N, 28, 28), taken at equal distances."""
    train = trained.images("train")
    num = min(_NUM_CALIBRATION, len(train)) // 64 * 64
    return train.images_NHW[np.linspace(0, len(train) - 1, num).astype(int)]


def _with_metadata(path: Path, original: Any) -> bytes:
    import onnx

    proto = onnx.load(path)
    del proto.opset_import[:]
    proto.opset_import.extend(original.opset_import)  # onnxruntime names all that it knows
    onnx.helper.set_model_props(proto, {entry.key: entry.value for entry in original.metadata_props})
    onnx.checker.check_model(proto, full_check=True)
    content: bytes = proto.SerializeToString()
    return content


FORMAT = Format(write, load, parity="accuracy")
