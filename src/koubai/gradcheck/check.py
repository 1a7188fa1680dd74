"""The proof: the gradients of ``backward`` against the slope of ``forward`` along a line."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from koubai.errors import KoubaiError
from koubai.gradcheck.report import GradientReport, GradientRow
from koubai.gradcheck.second_order import second_order
from koubai.gradcheck.subject import Host, LayerFailedError, Stage, Subject, to_host
from koubai.numerical import numerical_gradient

__all__ = ["Mode", "check_gradients"]

Mode: TypeAlias = Literal["array", "joint", "element"]

_EPS = float(np.finfo(np.float64).eps)
_STEP = _EPS ** (1 / 3)
_NOTHING = 1e-14  # a gradient below this, beside a weight of 1, is zero but for rounding
_MOST = 1e-4  # more than this is never put down to rounding
_STEPS = (_STEP, _STEP / 16, _STEP / 256)


def check_gradients(
    target: Any,
    *inputs: object,
    mode: Mode = "array",
    tolerance: float = 1e-7,
    rng: "int | np.random.Generator" = 0,
    order: Literal[1, 2] = 1,
) -> GradientReport:
    """
    Prove the gradients of a layer or network at a point.

    The numeric side is always float64. In any lower dtype the gradients are compared
    with those in float64, which are proved first; on a device without float64 that
    proof is made on NumPy.

    Parameters
    ----------
    target
        A layer, a `Network`, or any object with the book's ``forward`` and
        ``backward``. Copies of it are run; the target itself is left alone.
    *inputs
        What ``forward`` takes (a network: ``x, t``): the point at which to prove. Every
        floating-point one must get a gradient from ``backward``, except targets, which
        are called ``t``.
    mode
        ``array``: for each input and parameter one random direction v, and the
        slope of the output along it against <gradient, v>: two forward passes each,
        however many elements it has. ``joint``: one direction through all of them,
        two passes in all. ``element``: every element by itself, as the book does; two
        passes for each, and the report names the worst.
    tolerance
        The relative error allowed in float64. For a dtype below it is the square root
        of its machine epsilon, half of its digits, and four epsilons of what the output
        was weighted with, which is what is left where digits cancel.
    rng
        The source of the directions.
    order
        2 proves the second derivatives, those of what ``backward`` gives: a weighted sum
        of the gradients is differentiated once more through the graph that
        ``koubai.graph`` builds with ``create_graph=True``, with respect to the inputs, the
        parameters and ``dout``, and held against its own slope.

    Returns
    -------
    GradientReport
        A row for each input and parameter; ``print`` shows a table, and
        ``raise_if_failed()`` is for tests.

    Raises
    ------
    KoubaiError
        If the inputs are not what the layer takes, or none of them is floating point.
    TypeError
        If ``forward`` takes another number of inputs.

    Notes
    -----
    The slope of phi(s) = sum(c * forward(p + s v)), with random weights c and random v
    of the order of max(1, abs(p)), is taken as (phi(h) - phi(-h)) / (2 h) with
    h = eps^(1/3). To the tolerance is added what rounding alone makes of that quotient,
    8 eps sum(abs(c) max(1, abs(forward(p)))) / h, but no more than 1e-4. Where the two
    do not agree, the slope is extrapolated from h and h/2, and five points on the line
    tell whether there is a kink: the second difference of a smooth function falls
    by four when h is halved. Past a kink h shrinks, and if one stays the verdict is
    KINK, not PASS; where rounding is all that is left it is NOISE. Inputs are handed
    over read-only and non-contiguous, and must come back unchanged; a warning of the
    array library is a failure. After the gradient check of Chainer (Tokui et al. 2019,
    https://doi.org/10.1145/3292500.3330756).

    Where the elements of one array differ by many orders of magnitude, the largest ones
    dominate the line; ``element`` looks at each.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> report = koubai.check_gradients(koubai.Sigmoid(), np.asarray([[0.5, -1.0, 2.0]]))
    >>> report.passed
    True
    """
    if mode not in get_args(Mode):
        raise KoubaiError(
            f"check_gradients: mode is {mode!r}, but array, joint or element is wanted."
        )
    if order not in {1, 2}:
        raise KoubaiError(f"check_gradients: order is {order!r}, but 1 or 2 is wanted.")
    if order == 2:
        target, inputs = second_order(target, inputs)
    subject = Subject.of(target, inputs)
    backend = subject.place.backend
    try:
        with backend.scope(subject.place.name):
            with backend.float64():
                proof = _Proof(subject, tolerance, np.random.default_rng(rng))
                rows = proof.rows(mode)
            if subject.dtype != "float64":
                rows += _compare(subject, proof)
    except LayerFailedError as failure:
        cause = failure.__cause__ if isinstance(failure.__cause__, Exception) else None
        return GradientReport(str(subject), [_failed(failure.phase, str(failure))], cause)
    return GradientReport(str(subject), rows)


class _Proof:
    """The gradients at a point in float64, and the slopes to hold against them."""

    def __init__(self, subject: Subject, tolerance: float, draw: "np.random.Generator") -> None:
        self.tolerance = tolerance
        self.draw = draw
        self.point = subject.point()
        self.stage = Stage(subject.in_float64(), self.point)
        self.stage.run_elsewhere()
        y = to_host(self.stage.forward({}))
        weights = draw.uniform(0.5, 2.0, y.shape) * draw.choice([-1.0, 1.0], y.shape)
        self.cotangent = np.asarray(weights)
        self.outcome = self.stage.gradients(self.cotangent)
        if not np.allclose(self.outcome.output, y, rtol=1e-9, atol=0.0, equal_nan=True):
            why = "gave another result for the same inputs; whatever is random must be held still"
            raise LayerFailedError("forward", why)
        self.nothing = _NOTHING * float(np.sum(np.abs(weights)))
        self.rounding = 8 * _EPS * float(np.sum(np.abs(weights) * np.maximum(1.0, np.abs(y))))

    def rows(self, mode: Mode) -> list[GradientRow]:
        """Give a row for each gradient, and one for whatever is odd without being a number."""
        odd = [_failed(name, note) for name, note in self.outcome.notes.items()]
        names = [name for name, gradient in self.outcome.gradients.items() if gradient.size]
        if "output" in self.outcome.notes or not names:
            return odd
        if mode == "joint":
            return [*odd, self._along_line("all", names)]
        if mode == "element":
            return [*odd, *map(self._by_element, names)]
        return [*odd, *(self._along_line(name, [name]) for name in names)]

    def _along_line(self, label: str, names: Sequence[str]) -> GradientRow:
        """Hold <gradient, v> against the slope along one random direction v."""
        p, gradient = _joined(self.point, names), _joined(self.outcome.gradients, names)
        reach = np.maximum(1.0, np.abs(p))
        v = reach * self.draw.standard_normal(p.size)

        def phi(s: float) -> float:
            moved = _parted(p + s * v, self.point, names)
            return self._phi({name: self.stage.hand_like(name, moved[name]) for name in names})

        analytic = float(gradient @ v)
        usual = float(np.linalg.norm(gradient * reach))
        for h in _STEPS:
            numeric = (phi(h) - phi(-h)) / (2 * h)
            scale = max(abs(analytic), abs(numeric), usual)
            error = _relative(abs(numeric - analytic), scale)
            if not error <= self.tolerance:
                # Richardson's extrapolation: what is left is of the order of h^4.
                nearer = (phi(h / 2) - phi(-h / 2)) / h
                error = min(error, _relative(abs((4 * nearer - numeric) / 3 - analytic), scale))
            allowed, kink = self._judge(error, scale, h, phi)
            if not kink:
                break
        shape = self.point[label].shape if label in self.point else p.shape
        noise = allowed < error <= _relative(self.rounding / h, scale)
        return GradientRow(
            label, shape, error, allowed, kink=kink, noise=noise, zero=scale <= self.nothing
        )

    def _by_element(self, name: str) -> GradientRow:
        """Hold every element against a central difference of its own, as the book does."""
        analytic, p = self.outcome.gradients[name], self.point[name]
        x = self.stage.subject.place.asarray(p, dtype="float64", copy=True)
        for h in _STEPS:
            numeric = to_host(numerical_gradient(lambda moved: self._phi({name: moved}), x, h))
            difference = np.abs(numeric - analytic)
            worst = np.unravel_index(int(np.argmax(difference)), p.shape)
            scale = float(max(np.max(np.abs(numeric)), np.max(np.abs(analytic))))
            error = _relative(float(np.max(difference)), scale)
            allowed, kink = self._judge(error, scale, h, self._beside(name, worst))
            if not kink:
                break
        index, mean = tuple(map(int, worst)), float(np.mean(difference))
        return GradientRow(
            name,
            p.shape,
            error,
            allowed,
            kink=kink,
            noise=allowed < error <= _relative(self.rounding / h, scale),
            zero=scale <= self.nothing,
            worst=index,
            mean_difference=mean,
        )

    def _beside(self, name: str, index: tuple[np.intp, ...]) -> Callable[[float], float]:
        """Give the function of a single element, as it is moved by s."""

        def phi(s: float) -> float:
            moved = self.point[name].copy()
            moved[index] += s
            return self._phi({name: self.stage.hand_like(name, moved)})

        return phi

    def _phi(self, changed: dict[str, Any]) -> float:
        return float(np.sum(self.cotangent * to_host(self.stage.forward(changed))))

    def _judge(
        self, error: float, scale: float, h: float, phi: Callable[[float], float]
    ) -> tuple[float, bool]:
        """Give what the error may be, and whether a kink within h explains why it is more."""
        rounding = _relative(self.rounding / h, scale)
        allowed = self.tolerance + (rounding if scale <= self.nothing else min(_MOST, rounding))
        return allowed, not error <= allowed and self._has_kink(phi, h, scale)

    def _has_kink(self, phi: Callable[[float], float], h: float, scale: float) -> bool:
        """Tell by five points whether the slope jumps between -h and h."""
        left, near_left, middle, near_right, right = map(phi, (-h, -h / 2, 0.0, h / 2, h))
        bend, near_bend = left - 2 * middle + right, near_left - 2 * middle + near_right
        return abs(near_bend - bend / 4) > 2 * self.rounding + 0.2 * self.tolerance * h * scale


def _compare(subject: Subject, proof: _Proof) -> list[GradientRow]:
    """Hold the gradients in the subject's own dtype against the proved ones in float64."""
    eps = float(np.finfo(subject.dtype).eps)
    rounding = 4 * eps * float(np.linalg.norm(proof.cotangent))
    found, proved = Stage(subject, proof.point).gradients(proof.cotangent), proof.outcome
    rows = [_failed(name, note) for name, note in found.notes.items() if name not in proved.notes]
    for name in [name for name in proved.gradients if name in found.gradients]:
        gradient, exact = found.gradients[name], proved.gradients[name]
        scale = float(max(np.linalg.norm(gradient), np.linalg.norm(exact)))
        error = _relative(float(np.linalg.norm(gradient - exact)), scale)
        hidden = _relative(rounding, scale)
        is_zero = float(np.linalg.norm(exact)) <= proof.nothing
        allowed = eps**0.5 + (hidden if is_zero else min(0.1, hidden))
        noise = allowed < error <= hidden
        rows.append(GradientRow(name, exact.shape, error, allowed, "float64", noise=noise))
    return rows


def _failed(name: str, note: str) -> GradientRow:
    return GradientRow(name, (), float("inf"), 0.0, "", note)


def _relative(difference: float, scale: float) -> float:
    return difference / scale if scale else 0.0


def _joined(arrays: Mapping[str, Host], names: Sequence[str]) -> Host:
    return np.concatenate([arrays[name].reshape(-1) for name in names])


def _parted(joined: Host, like: Mapping[str, Host], names: Sequence[str]) -> dict[str, Host]:
    ends = np.cumsum([like[name].size for name in names])
    parts = np.split(joined, ends[:-1])
    return {name: part.reshape(like[name].shape) for name, part in zip(names, parts, strict=True)}
