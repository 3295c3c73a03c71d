"""Run an engine of a bundle with nothing but TensorRT and PyCUDA.

    python plain_tensorrt.py ma52.bundle/model.fp16.tensorrt.engine window.npy

``window.npy`` holds raw pixels, float32 ``(N, T, V, C)``, such as ``(1, 64, 44, 2)``. Joint order, class names and
window length are in the bundle's ``manifest.json``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pycuda.driver as cuda
import tensorrt as trt


def main(engine_file: str, window_file: str) -> None:
    """Print the class of each window and its probability."""
    keypoints = np.ascontiguousarray(np.load(window_file), dtype=np.float32)
    cuda.init()
    primary = cuda.Device(0).retain_primary_context()
    primary.push()
    try:
        runtime = trt.Runtime(trt.Logger(trt.Logger.WARNING))
        engine = runtime.deserialize_cuda_engine(Path(engine_file).read_bytes())
        context = engine.create_execution_context()
        context.set_input_shape("keypoints", keypoints.shape)

        stream = cuda.Stream()
        upload = cuda.mem_alloc(keypoints.nbytes)
        context.set_tensor_address("keypoints", int(upload))
        outputs = {}
        for name in ("logits", "probabilities"):
            host = cuda.pagelocked_empty((len(keypoints), context.get_tensor_shape(name)[1]), np.float32)
            device = cuda.mem_alloc(host.nbytes)
            context.set_tensor_address(name, int(device))
            outputs[name] = host, device

        cuda.memcpy_htod_async(upload, keypoints, stream)
        if not context.execute_async_v3(stream.handle):
            sys.exit("TensorRT failed: see its messages above")
        for host, device in outputs.values():
            cuda.memcpy_dtoh_async(host, device, stream)
        stream.synchronize()
        probabilities, _ = outputs["probabilities"]
        for row in probabilities:
            print(int(row.argmax()), float(row.max()))
    finally:
        primary.pop()


if __name__ == "__main__":
    main(*sys.argv[1:3])
