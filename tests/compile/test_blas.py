"""NumPy's BLAS, called directly: matrices however they lie, and products in halves."""

import gc
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import koubai
from koubai import SGD, Affine, Network, Relu
from koubai.compile import blas

pytestmark = pytest.mark.skipif(not blas.available(), reason="NumPy was built with another BLAS")

LAYOUTS = ["x @ W", "d @ W.T", "x.T @ d", "x.T @ W.T", "parts of wider matrices"]
WIDE, HIGH, EVEN = (97, 140, 190), (203, 131, 90), (150, 100, 150)  # just enough for halves
SMALL = [(5, 4, 3), (1, 4, 3), (5, 1, 3), (5, 4, 1), (1, 1, 1), (130, 100, 150)]


def matrices(shape, layout, dtype):
    """Give C, A and B that lie as they do in a layer."""
    m, k, n = shape
    rng = np.random.default_rng(0)
    c, a, b = (rng.standard_normal(s).astype(dtype) for s in ((m, n), (m, k), (k, n)))
    if layout.startswith("x.T"):
        a = a.T.copy().T
    if layout.endswith("W.T"):
        b = b.T.copy().T
    if layout.startswith("parts"):
        a, b = np.pad(a, 3)[3:-3, 3:-3], np.pad(b, 5)[5:-5, 5:-5]
    return c, a, b


def multiplied(c, a, b, alpha, beta):
    real, c = blas.real(c.dtype), c.copy()
    blas.gemm(c, a, b)(real(alpha), real(beta), *map(blas.address, (c, a, b)))
    return c


@pytest.fixture
def in_halves(monkeypatch):
    """Let products go in halves, however many threads there are."""
    if not blas.threads():
        pytest.skip("the OpenBLAS of this NumPy has no batches of products")
    monkeypatch.setattr(blas, "threads", lambda: 2)


@pytest.mark.parametrize("numbers", [(1.0, 0.0), (-0.5, 1.0), (2.0, 0.25)], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [WIDE, HIGH, EVEN], ids=str)
def test_product_in_halves_is_the_product(in_halves, shape, layout, dtype, numbers):
    c, a, b = matrices(shape, layout, dtype)
    assert blas.takes(c, a, b)
    alpha, beta = numbers
    if not beta:
        c[...] = np.nan  # BLAS does not look at it
    expected = alpha * (a.astype("float64") @ b) + (beta * c if beta else 0.0)
    tolerance = 1e-12 if dtype == "float64" else 1e-4
    found = multiplied(c, a, b, alpha, beta)
    np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_small_product_is_the_product_and_stays_whole(in_halves, shape, layout):
    c, a, b = matrices(shape, layout, "float64")
    assert not blas.takes(c, a, b)
    np.testing.assert_allclose(multiplied(c, a, b, 2.0, 0.5), 2.0 * (a @ b) + 0.5 * c, rtol=1e-12)


@given(*[st.integers(1, 3000)] * 3)
@example(100, 200, 100)
@example(8, 1_000_000, 1)
def test_no_half_is_so_small_that_openblas_crashes(m, k, n):
    c, a, b = (np.broadcast_to(np.float32(0), s) for s in ((m, n), (m, k), (k, n)))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(blas, "threads", lambda: 2)
        parts = blas.cut(c, a, b)
    assert sum(part.size for part, _, _ in parts) == m * n
    assert len(parts) == 1 or all(part.size * k > 100**3 for part, _, _ in parts)


@pytest.mark.parametrize("count", [0, 1, 3, 16])
def test_other_numbers_of_threads_take_products_whole(monkeypatch, count):
    monkeypatch.setattr(blas, "threads", lambda: count)
    assert not blas.takes(*matrices(EVEN, "x @ W", "float32"))


def test_halves_are_for_one_dtype_and_matrices_that_blas_can_read(in_halves):
    c, a, b = matrices(EVEN, "x @ W", "float32")
    assert blas.takes(c, a, b)
    assert not blas.takes(c.astype("float64"), a, b)
    assert not blas.takes(*(array.astype("float16") for array in (c, a, b)))
    assert not blas.takes(c, np.repeat(a, 2, 1)[:, ::2], b)
    assert not blas.takes(c, a, b[::-1])
    assert not blas.takes(np.asfortranarray(c), a, b)
    assert not blas.takes(*(array.astype(">f4") for array in (c, a, b)))
    overlapping = np.lib.stride_tricks.sliding_window_view(np.ones(249, np.float32), 100)
    assert not blas.takes(c, overlapping, b)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("side", [0, 1], ids=["row", "column"])
def test_a_row_or_a_column_stays_whole_and_in_its_place(in_halves, side, order):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((300, 9000)), rng.standard_normal((9000, 1))
    if side == 0:
        a, b = b.T, a.T
    room = np.zeros(300 * 300)
    shape = (1, 300) if side == 0 else (300, 1)
    strides = np.empty(shape, order=order).strides
    c = np.lib.stride_tricks.as_strided(room, shape, strides)
    assert not blas.takes(c, a, b)
    run = blas.gemm(c, a, b)
    run(*map(blas.real(c.dtype), (1.0, 0.0)), *map(blas.address, (c, a, b)))
    np.testing.assert_allclose(c, a @ b, rtol=1e-9)
    assert np.count_nonzero(room) == 300


def test_one_product_serves_several_threads(in_halves):
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 150, 120)), rng.standard_normal((120, 170))
    found = np.zeros((4, 150, 170))
    run = blas.gemm(found[0], a[0], b)
    numbers = [blas.real(b.dtype)(number) for number in (1.0, 0.0)]

    def farthest(i):
        wanted, at = a[i] @ b, [blas.address(each) for each in (found[i], a[i], b)]
        distances = []
        for _ in range(100):
            run(*numbers, *at)
            distances.append(np.max(np.abs(found[i] - wanted)))
        return max(distances)

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(farthest, range(4))) < 1e-9


def test_row_of_a_matrix_by_columns_is_read_with_its_steps():
    wide, b = np.arange(12.0).reshape(4, 3), np.arange(20.0).reshape(4, 5)
    row, c = wide[:, :1].T, np.zeros((1, 5))
    assert multiplied(c, row, b, 1.0, 0.0).tolist() == (row @ b).tolist()


def test_training_in_halves_is_the_training_of_the_layers(in_halves, same_training):
    sizes = [150, 130, 140, 3]

    def make():
        rng = np.random.default_rng(0)
        affines = [Affine(rng.standard_normal(s) / s[0], np.zeros(s[1])) for s in pairwise(sizes)]
        return Network([affines[0], Relu(), affines[1], Relu(), affines[2]])

    rng = np.random.default_rng(1)
    batches = [(rng.standard_normal((n, 150)), rng.integers(0, 3, n)) for n in (160, 160, 31)]
    step, _ = same_training(make, lambda: SGD(0.1), batches * 3, 1e-12)
    x, t = batches[0]
    step(x, t)
    assert step.plan.source.count("matmul") == 1  # d @ W.T of the three scores alone


def test_products_of_compiled_functions_go_in_halves(in_halves):
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((170, 120)), rng.standard_normal((120, 150))
    run = koubai.compile(lambda x: x @ w)
    first, second = run(x), run(x * 2)  # an array of its own each time
    gc.collect()
    np.testing.assert_allclose(first, x @ w, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(second, 2 * x @ w, rtol=1e-12, atol=1e-12)
    assert "gemm" in run.plan.source
    strided = np.repeat(x, 2, 1)[:, ::2]
    np.testing.assert_allclose(run(strided), first, rtol=1e-12, atol=1e-12)
