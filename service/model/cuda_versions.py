"""Find the CUDA driver, runtime and cuDNN of this machine, and say which of them does not fit ONNX Runtime's build."""

import ctypes
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

import onnxruntime as ort

Version = tuple[int, int]

CUDNN_MAJOR: Final = 9  # of every ONNX Runtime since 1.19
# for CUDA's major version: the oldest driver, and the oldest compute capability that it still compiles for
_NEEDED: Final[dict[int, tuple[int, Version]]] = {12: (525, (5, 0)), 13: (580, (7, 5))}
_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR = 75, 76  # CUdevice_attribute


@dataclass(frozen=True)
class CudaVersions:
    """What was found. None: it is not there. driver: the newest CUDA that the driver supports.

    build: name and version of the installed builds of ONNX Runtime. built_for: the CUDA of the one that runs.
    capability: of the first device. device_error: why there is no device.
    """

    builds: tuple[str, ...]
    built_for: Version | None
    driver: Version | None
    device_error: str | None
    capability: Version | None
    runtime: Version | None
    cudnn: Version | None

    def mismatches(self) -> list[str]:
        """What does not fit, each with what to do; empty if everything does."""
        if len(self.builds) > 1:
            return [
                f"{' and '.join(self.builds)} share a module name and are both installed: uninstall both, "
                "then install onnxruntime-gpu again"
            ]
        if self.built_for is None:
            return [f"{', '.join(self.builds) or 'ONNX Runtime'} is built without CUDA: install onnxruntime-gpu"]
        major, build = self.built_for[0], f"{self.builds[0] if self.builds else 'ONNX Runtime'}"
        needs = f"{build} is built for CUDA {_text(self.built_for)}"
        oldest_driver, oldest_capability = _NEEDED.get(major, (0, (0, 0)))
        found = []
        if self.driver is None:
            found.append("no NVIDIA driver (libcuda.so.1 does not load): install it, or give the container a GPU")
        elif self.driver[0] < major:
            found.append(
                f"the NVIDIA driver supports CUDA {_text(self.driver)} at most, but {needs}: "
                f"install driver {oldest_driver or 'of that CUDA'} or newer"
            )
        elif self.device_error is not None:
            found.append(f"the NVIDIA driver finds no GPU ({self.device_error}): look at CUDA_VISIBLE_DEVICES")
        elif self.capability is not None and self.capability < oldest_capability:
            found.append(
                f"the GPU has compute capability {_text(self.capability)}, but CUDA {major} needs "
                f"{_text(oldest_capability)} or newer"
            )
        if self.runtime is None:
            found.append(f"libcudart.so.{major} does not load, but {needs}: pip install 'onnxruntime-gpu[cuda,cudnn]'")
        elif self.runtime[0] != major:
            found.append(f"the CUDA runtime is {_text(self.runtime)}, but {needs}")
        if self.cudnn is None:
            found.append(f"libcudnn.so.{CUDNN_MAJOR} does not load: pip install 'onnxruntime-gpu[cuda,cudnn]'")
        elif self.cudnn[0] != CUDNN_MAJOR:
            found.append(f"cuDNN is {_text(self.cudnn)}, but {build} needs cuDNN {CUDNN_MAJOR}")
        return found


def read_cuda_versions() -> CudaVersions:
    """What this machine has; nothing is raised. It starts CUDA, which no process survives that is forked later."""
    built_for = _parsed(getattr(ort, "cuda_version", None) or "")
    driver, device_error, capability = _read_driver()
    return CudaVersions(
        builds=_installed_builds(),
        built_for=built_for,
        driver=driver,
        device_error=device_error,
        capability=capability,
        runtime=_read_runtime(built_for[0]) if built_for else None,
        cudnn=_read_cudnn(),
    )


def _installed_builds() -> tuple[str, ...]:
    """Those whose files the running one may be made of; one on another path is only hidden by it."""
    builds = []
    for name in ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino"):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if Path(str(found.locate_file("onnxruntime/__init__.py"))).resolve() == Path(ort.__file__).resolve():
            builds.append(f"{name} {found.version}")
    return tuple(builds)


def _read_driver() -> tuple[Version | None, str | None, Version | None]:
    """The driver's CUDA, why there is no device, and the first device's compute capability."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return None, None, None
    number, device = ctypes.c_int(), ctypes.c_int()
    driver.cuDriverGetVersion(ctypes.byref(number))
    supported = number.value // 1000, number.value % 1000 // 10
    if code := driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), 0):
        return supported, _error_name(driver, code), None
    pair = []
    for attribute in (_COMPUTE_CAPABILITY_MAJOR, _COMPUTE_CAPABILITY_MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        pair.append(value.value)
    return supported, None, (pair[0], pair[1])


def _error_name(driver: ctypes.CDLL, code: int) -> str:
    name = ctypes.c_char_p()
    driver.cuGetErrorName(code, ctypes.byref(name))
    return name.value.decode() if name.value else f"error {code}"


def _read_runtime(major: int) -> Version | None:
    try:
        runtime = ctypes.CDLL(f"libcudart.so.{major}")
    except OSError:
        return None
    number = ctypes.c_int()
    runtime.cudaRuntimeGetVersion(ctypes.byref(number))
    return number.value // 1000, number.value % 1000 // 10


def _read_cudnn() -> Version | None:
    try:
        cudnn = ctypes.CDLL(f"libcudnn.so.{CUDNN_MAJOR}")
    except OSError:
        return None
    cudnn.cudnnGetVersion.restype = ctypes.c_size_t
    number = cudnn.cudnnGetVersion()  # 92400 is 9.24.0
    return number // 10_000, number % 10_000 // 100


def _parsed(text: str) -> Version | None:
    parts = text.split(".")
    return (int(parts[0]), int(parts[1])) if len(parts) >= 2 and parts[0].isdigit() and parts[1].isdigit() else None


def _text(found: Version) -> str:
    return f"{found[0]}.{found[1]}"
