"""The grid of kernels is what the spec says, and a kernel survives being written down."""

import subprocess
import sys

import pytest

from edge_node.config import Activation, KernelKind, ModelSpec, parse_spec
from edge_node.errors import ConfigurationError
from edge_node.inference.kernels.dense import DenseKernel, critical_variances
from edge_node.inference.kernels.kernel import Kernel, kernel_from_json, kernel_grid, kernel_to_json
from edge_node.inference.kernels.oracle import stax_layers

EVERY = ModelSpec(
    kernels=tuple(KernelKind),
    activations=tuple(Activation),
    depths=(1, 3),
    biases=(0.1, 1.0),
    lengthscales=(0.5, 1.0, 2.0),
    image=(2, 3, 1),
)


def test_the_grid_is_a_product_in_the_specs_order() -> None:
    """Every network of every activation at every depth with every bias, each once; classical
    kernels with every lengthscale; convolutional ones of every activation at every depth.
    """
    grid = kernel_grid(EVERY)
    size = 2 * len(Activation) * 2 * 2 + 2 * 3 + len(Activation) * 2
    assert len(grid) == len(set(grid)) == len(set(map(str, grid))) == size
    assert list(map(str, grid[-9:-6])) == [
        f"rbf lengthscale {length}" for length in ("0.5", "1", "2")
    ]
    assert str(grid[-1]) == "conv-ntk gelu depth 3 image 2x3x1"
    assert list(map(str, kernel_grid(ModelSpec()))) == [
        f"{kernel} relu depth 1 bias {bias}" for kernel in ("ntk", "nngp") for bias in (1, 2)
    ]


def test_variances_are_critical_unless_given() -> None:
    """Variances that the spec doesn't give are critical; those it gives are taken."""
    model = ModelSpec(
        kernels=(KernelKind.NNGP,),
        activations=(Activation.ERF,),
        depths=(4,),
        biases=(1.0,),
        bias_variance=0.5,
    )
    sw2, _ = critical_variances(Activation.ERF)
    assert kernel_grid(model) == [DenseKernel(KernelKind.NNGP, Activation.ERF, 4, sw2, 0.5)]


@pytest.mark.parametrize("kernel", kernel_grid(EVERY), ids=str)
def test_a_kernel_survives_being_written_down(kernel: Kernel) -> None:
    """JSON and back, without loss."""
    assert kernel_from_json(kernel_to_json(kernel)) == kernel


def test_what_is_no_kernel_is_refused() -> None:
    """A ValueError, which the reader of a damaged file catches."""
    with pytest.raises(ValueError, match="depth"):
        kernel_from_json(kernel_to_json(kernel_grid(EVERY)[0]).replace("depth", "width"))


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kernels = []", "`model.kernels` is empty"),
        ("activations = []", "`model.activations` is empty"),
        ("depths = [1, 2, 1]", "`model.depths` names a value twice"),
        ("depths = [0]", "`model.depths` must be positive"),
        ("biases = []", "`model.biases` is empty"),
        ("biases = [inf]", "`model.biases` must be finite"),
        ("lengthscales = []", "`model.lengthscales` is empty"),
        ("lengthscales = [1, 0]", "`model.lengthscales` must be positive"),
        ("kernels = ['conv-ntk']", "`conv-ntk` needs `model.image`"),
        ("image = [1, 1, -1]", "`model.image` must be height, width and channels"),
        ("image = [2, 2, 1]", "a numeric column for each number"),
        ("kernel = 'ntk'", "unknown field `kernel`"),
    ],
)
def test_a_grid_that_makes_no_sense_is_refused(line: str, complaint: str) -> None:
    """Before anything runs, by name."""
    text = f"""
name = "f"
data = {{ task = "regression", target = "y", columns = [{{ name = "x" }}] }}
[model]
{line}
"""
    with pytest.raises(ConfigurationError, match=complaint):
        parse_spec(text)


def test_a_convolution_without_an_image_is_refused() -> None:
    """Also where no spec was parsed."""
    with pytest.raises(ConfigurationError, match="kernel's image is out of range"):
        kernel_grid(ModelSpec(kernels=(KernelKind.CONV_NTK,)))


def test_no_kernel_needs_neural_tangents() -> None:
    """A grid of all, written down and read back."""
    program = (
        "import sys\n"
        "from edge_node.config import KernelKind, ModelSpec\n"
        "from edge_node.inference.kernels.kernel import *\n"
        "grid = kernel_grid(ModelSpec(image=(2, 2, 1), kernels=tuple(KernelKind)))\n"
        "assert grid == [kernel_from_json(kernel_to_json(each)) for each in grid]\n"
        "print('neural_tangents' in sys.modules, 'jax' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"False"] * 2


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra that brings it."""
    monkeypatch.setitem(sys.modules, "neural_tangents.stax", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'tangent-mesh\[neural-tangents\]'"):
        stax_layers()
