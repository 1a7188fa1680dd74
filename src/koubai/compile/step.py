"""compile_step: forward, backward and update in one call, recorded once and replayed."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

from koubai.arrays import dtype_name, native_device, shared_namespace
from koubai.backend import Device
from koubai.compile.holdings import Holdings
from koubai.compile.state import SWITCHES, BoundParameters, Slot, State, is_array, twin_of
from koubai.errors import KoubaiError, ShapeError
from koubai.networks import Network
from koubai.networks.door import look_now, watched_by
from koubai.networks.heard import gradient_and_loss
from koubai.optimizers import Optimizer
from koubai.optimizers.contract import apply, has_parts
from koubai.typing import Array

__all__ = ["CompiledStep", "compile_step", "plan_of", "watcher"]

RECORDS = 8  # kept beside each other: shapes and dtypes that a loop comes back to
_WHOLE = 1 << 31
_Numbers: TypeAlias = Sequence[tuple[Any, Any, Any]]  # owner, key and value


def compile_step(network: Network, optimizer: Optimizer) -> "CompiledStep":
    """
    Make one function of a network and an optimizer: forward, backward and update.

    It does what these lines do, with the same results, and on every backend as fast as
    that can be made::

        grads = network.gradient(x, t)
        optimizer.update(network.params, grads)

    Parameters
    ----------
    network : Network
        The network; ``network.params`` shows the current weights at any time. The step
        takes a copy of every parameter when it first runs, and its own arrays from then
        on, so that no array of the caller changes.
    optimizer : Optimizer
        One of koubai's, or any object whose ``update(params, grads)`` is made of standard
        functions and arithmetic. Where ``update`` is ``advance()`` and
        ``apply(params, grads)``, as `koubai.optimizers.Optimizer` tells, ``advance`` runs
        on the host before each step, and only ``apply`` is compiled.

    Returns
    -------
    CompiledStep
        ``loss = step(x, t)``.

    Raises
    ------
    KoubaiError
        If the network is no Network, or the optimizer has no ``update``.

    Examples
    --------
    >>> import numpy as np
    >>> import koubai
    >>> net = koubai.TwoLayerNet(4, 8, 2, rng=0)
    >>> step = koubai.compile_step(net, koubai.SGD(lr=0.5))
    >>> x, t = np.eye(4, dtype=np.float32), np.asarray([0, 1, 0, 1])
    >>> losses = [float(step(x, t)) for _ in range(300)]
    >>> losses[0] > 0.69 and losses[-1] < 0.1
    True
    """
    return CompiledStep(network, optimizer)


@dataclass(eq=False)
class _Record:
    """
    One compiled step, for one set of shapes and dtypes.

    ``grown`` is the twin of the optimizer with its slots, where a step gave it other
    attributes than it had before; ``noticed`` tells whether the switches of the layers are
    known, ``counts`` whether the step itself changes a number of the optimizer.
    """

    place: Device
    ties: dict[str, str]
    watch: Callable[[Array, Array, Callable[[Array], None]], None]
    run: Callable[..., Any] = field(init=False)
    loop: Callable[..., Any] | None = None
    grown: tuple[Any, dict[str, Slot]] | None = None
    noticed: bool = False
    counts: bool = False


class CompiledStep:
    """
    A training step, made by `compile_step`; call it with a batch and its labels.

    Parameters
    ----------
    network, optimizer
        As for `compile_step`.
    """

    def __init__(self, network: Network, optimizer: Optimizer) -> None:
        if not isinstance(network, Network):
            raise KoubaiError(
                f"compile_step: {network!r} is no koubai.Network. koubai.Network(layers) makes one "
                "of any layers with forward and backward."
            )
        if not callable(getattr(optimizer, "update", None)) or not hasattr(optimizer, "__dict__"):
            raise KoubaiError(
                f"compile_step: {optimizer!r} has no update(params, grads), or no attributes that "
                "can be looked at (__dict__). koubai.SGD(lr=0.1) is an optimizer."
            )
        self._network = network
        self._optimizer: Any = optimizer
        self._advances = has_parts(optimizer)
        self._records: OrderedDict[object, _Record] = OrderedDict()
        self._last: _Record | None = None
        self._last_key: object = None
        self._held = Holdings(network, optimizer, self._forget)
        self._switches: dict[tuple[int, str], Slot] = {}

    def __repr__(self) -> str:
        return f"compile_step({self._network!r}, {self._optimizer!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._network, self._optimizer)  # records belong to their step

    @property
    def network(self) -> Network:
        """The network that learns."""
        return self._network

    @property
    def optimizer(self) -> Optimizer:
        """What changes its parameters."""
        optimizer: Optimizer = self._optimizer
        return optimizer

    def __call__(self, x: Array, t: Array) -> Array:
        """
        Take one step: change the parameters by the gradient of the loss of a batch.

        Parameters
        ----------
        x : Array, shape (N, ...)
            A batch, on the device of the parameters; it is neither kept nor changed.
        t : Array
            Its labels or targets, as the last layer takes them.

        Returns
        -------
        Array, shape ()
            The loss before the update, on the device; no later step changes it.

        Raises
        ------
        CompileError
            If a layer or the optimizer does what cannot be compiled; the error shows the
            line and says what to write.
        LabelError
            If a label is out of range or no number; the parameters are as before. Seen
            where the host has the values at hand, on NumPy and on torch's CPU; on JAX and
            on GPUs the loss is NaN.
        MixedArraysError, ShapeError, DTypeError
            If x and t do not go with the parameters or with each other.
        """
        before = self._advance() if self._advances else ()
        try:
            state = self._held.state()
            key = self._key(x, t)
            record = self._last if key == self._last_key else self._records.get(key)
            fresh = record is None
            if record is None:
                record = self._new_record(x, t)
            new, loss = record.run(state, x, t)
        except BaseException:
            _put_back(before)
            raise
        if new is state and record is self._last:
            return loss  # type: ignore[no-any-return]  # all was written in place
        if fresh:
            key = self._key(x, t)  # what the layers are switched by is known only now
            self._records[key] = record
            if len(self._records) > RECORDS:
                self._records.popitem(last=False)
        if record is not self._last:
            self._records.move_to_end(key)
            self._last, self._last_key = record, key
        self._held.take(new, record.grown)
        return loss  # type: ignore[no-any-return]

    def epoch(self, xs: Array, ts: Array) -> Array:
        """
        Take one step for each of many batches that are on the device already.

        On JAX the loop itself is compiled (``jax.lax.scan``), so that no Python runs
        between two steps; elsewhere this is a loop over the step.

        Parameters
        ----------
        xs : Array, shape (S, N, ...)
            S batches.
        ts : Array, shape (S, ...)
            Their labels or targets.

        Returns
        -------
        Array, shape (S,)
            The losses, in their order.

        Raises
        ------
        ShapeError
            If there are no batches, or not as many labels.
        """
        steps = xs.shape[0] if xs.ndim else 0
        if not steps or ts.shape[:1] != (steps,):
            raise ShapeError(
                f"epoch: xs has the shape {tuple(xs.shape)} and ts {tuple(ts.shape)}; the same "
                "number of batches is wanted along their first axis, and at least one."
            )
        xp = shared_namespace("epoch", {"ts": ts, "xs": xs})
        losses: list[Array] = []
        record: _Record | None = None
        while len(losses) < steps and (record is None or record.grown is not None):
            at = len(losses)  # an optimizer makes what it lacks in its first step
            losses.append(xp.asarray(self(xs[at, ...], ts[at, ...])))
            record = self._last
        done = len(losses)
        found = None
        if record is not None and done < steps:
            found = self._looped(record, xs[done:, ...], ts[done:, ...])
        if found is not None:
            return xp.concat([xp.stack(losses), found])
        losses += [xp.asarray(self(xs[i, ...], ts[i, ...])) for i in range(done, steps)]
        return xp.stack(losses)

    def _looped(self, record: _Record, xs: Array, ts: Array) -> Array | None:
        """Take many steps in one call; None where that is not to be had."""
        if record.loop is None:
            function = partial(self._pure_of_numbers, record)
            record.loop = record.place.backend.compile_loop(function, record.place.name)
        if record.loop is None:
            return None
        before, columns = self._look_ahead(record, xs.shape[0])
        if self._advances and not columns:
            return None
        try:
            state = self._held.state()
            ahead = self._held.numbers if columns else {}
            kept = {name: value for name, value in state.items() if name not in ahead}
            new, losses = record.loop(kept, xs, ts, *columns)
        except BaseException:
            _put_back(before)
            raise
        self._held.take({**state, **new}, record.grown)
        return losses  # type: ignore[no-any-return]

    @property
    def plan(self) -> Any:
        """
        The plan of the last step, to be printed: operations, buffers, and what each pass did.

        Where another compiler does the work, one line that says which.

        Raises
        ------
        KoubaiError
            If no step has run yet.
        """
        if self._last is None:
            raise KoubaiError("There is no plan before the first step: loss = step(x, t).")
        return plan_of(self._last.run, self._last.place)

    # What an optimizer does on the host

    def _advance(self) -> _Numbers:
        """Let the optimizer count a step; give its numbers as they were."""
        self._held.state()
        before = [(owner, key, owner[key]) for owner, key in self._held.numbers.values()]
        try:
            self._optimizer.advance()
        except BaseException:
            _put_back(before)
            raise
        return before

    def _look_ahead(self, record: _Record, steps: int) -> tuple[_Numbers, list[Array]]:
        """
        Let the optimizer count many steps; give its numbers as they were, and at each step.

        Nothing, and nothing has changed, where steps differ in more than such numbers.
        """
        self._held.state()
        dtypes = {dtype_name(array) for array in self._network.params.values()}
        if record.counts or len(dtypes) > 1:
            return (), []
        places = self._held.numbers.values()
        before = [(owner, key, owner[key]) for owner, key in places]
        rows: list[list[Any]] = []
        try:
            for _ in range(steps):
                if self._advances:
                    self._optimizer.advance()
                rows.append([owner[key] for owner, key in places])
                if not self._held.is_current():
                    _put_back(before)
                    return (), []
        except BaseException:
            _put_back(before)
            raise
        (dtype,) = dtypes
        return before, [_column(record.place, each, dtype) for each in zip(*rows, strict=True)]

    # What a record is good for

    def _key(self, x: Array, t: Array) -> object:
        """Name shapes, dtypes, and all else that a record depends on."""
        try:
            key: tuple[object, ...]
            key = type(x), x.shape, x.dtype, type(t), t.shape, t.dtype, self._held.structure
        except AttributeError:
            shared_namespace("step", {"t": t, "x": x})  # says which is no array
            raise
        if self._switches:
            key += tuple(_setting(slot.get()) for slot in self._switches.values())
        if self._held.on_host:
            return key
        return *key, str(native_device(x)), str(native_device(t))

    def _new_record(self, x: Array, t: Array) -> _Record:
        parameter = next(iter(self._network.params.values()))
        shared_namespace("step", {"t": t, "x": x, "the parameters": parameter})
        place = self._held.place
        record = _Record(place, self._held.ties, watcher(place))
        record.run = place.backend.compile(partial(self._pure, record), place.name)
        return record

    def _forget(self) -> None:
        """Forget the records: other layers have come."""
        self._records.clear()
        self._switches.clear()
        self._last = self._last_key = None

    # What a step is

    def _pure(
        self, record: _Record, state: dict[str, Any], x: Array, t: Array
    ) -> tuple[dict[str, Any], Array]:
        """Take a step on twins of the network and the optimizer: a pure function."""
        network, optimizer = twin_of(self._network, self._optimizer)
        before = State(network, optimizer)
        for name, slot in before.slots.items():
            slot.set(state[record.ties.get(name, name)])
        with watched_by(record.watch):
            grads, loss = gradient_and_loss(network, x, t)
        apply(optimizer, BoundParameters(network.layers, record.ties), grads)
        after = before.after(optimizer)
        outline = after.slots.keys(), after.switches()
        same = outline == (before.slots.keys(), before.switches())
        record.grown = None if same else (optimizer, after.of_optimizer())
        if not record.noticed:
            record.noticed = True
            self._notice_switches(network)
        new = {name: value for name, value in after.read().items() if name not in record.ties}
        record.counts = any(new.get(name) is not state[name] for name in self._held.numbers)
        return new, loss

    def _pure_of_numbers(
        self, record: _Record, state: dict[str, Any], x: Array, t: Array, *numbers: Array
    ) -> tuple[dict[str, Any], Array]:
        """Take a step with the optimizer's numbers apart, which do not go on to the next one."""
        given = dict(zip(self._held.numbers, numbers, strict=False))
        new, loss = self._pure(record, {**state, **given}, x, t)
        return {name: value for name, value in new.items() if name not in given}, loss

    def _notice_switches(self, twin: Network) -> None:
        """Remember what layers are switched by: attributes that a step does not write."""
        ours = (self._network, *self._network.layers.values(), self._network.last_layer)
        twins = (twin, *twin.layers.values(), twin.last_layer)
        for original, copied in zip(ours, twins, strict=True):
            for name, value in getattr(original, "__dict__", {}).items():
                known = type(value) in SWITCHES or is_array(value)
                kept = known and vars(copied).get(name) is value
                if kept and (id(original), name) not in self._switches:
                    self._switches[id(original), name] = Slot(vars(original), name)


def _column(place: Device, values: tuple[Any, ...], dtype: str) -> Array:
    """Give a number at each step as an array."""
    whole = all(type(value) is int and abs(value) < _WHOLE for value in values)
    return place.asarray(values, dtype="int32" if whole else dtype)


def _put_back(numbers: _Numbers) -> None:
    """Put numbers where they were before."""
    for owner, key, value in numbers:
        owner[key] = value


def plan_of(run: Callable[..., Any], place: Device) -> Any:
    """Give the plan of a compiled function, or say who compiled it."""
    backend = place.backend
    return getattr(run, "plan", None) or (
        f"{backend.name} compiles this with {backend.compiler}. koubai's own plan is to be seen "
        'on NumPy: network.to("cpu").'
    )


def _setting(value: Any) -> Any:
    """Give what tells a setting from another; an array is kept by the record that read it."""
    return id(value) if is_array(value) else value


def watcher(place: Device) -> Callable[[Array, Array, Callable[[Array], None]], None]:
    """Give what looks at the targets of a bad loss, where that is not to wait for a device."""
    on_gpu = place.name in place.backend.gpus()

    def watch(loss: Array, t: Array, check: Callable[[Array], None]) -> None:
        recorded = getattr(loss, "watch", None)
        if on_gpu:
            return
        if recorded is not None:
            recorded(check, t)
        elif place.backend.owns(loss):  # and not an array that is being traced
            look_now(loss, t, check)

    return watch
