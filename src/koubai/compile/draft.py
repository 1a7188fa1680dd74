"""Draft: a plan while a pass rewrites it."""

from dataclasses import dataclass, field, replace
from typing import Any

from koubai.compile.operations import infer
from koubai.compile.plan import Operand, Operation, Plan, Value

__all__ = ["Draft"]


@dataclass
class Draft:
    """A plan being rewritten from front to back: what becomes of each operation is added here."""

    plan: Plan
    operations: list[Operation] = field(default_factory=list)
    constants: dict[Value, Any] = field(default_factory=dict)
    _instead: dict[Value, Value] = field(default_factory=dict)

    def renamed(self, operation: Operation) -> Operation:
        """Give an operation of the old plan with the operands of the new one."""
        args = tuple(self.now(arg) if isinstance(arg, Value) else arg for arg in operation.args)
        return replace(operation, args=args)

    def now(self, value: Value) -> Value:
        """Give what stands in the new plan for a value of the old one."""
        return self._instead.get(value, value)

    def keep(self, operation: Operation) -> Value:
        """Take an operation over."""
        self.operations.append(operation)
        return operation.result

    def put(self, result: Value, name: str, *args: Operand, **options: Any) -> Value:
        """Add a new operation that gives ``result``."""
        return self.keep(Operation(name, args, options, result))

    def new(self, name: str, *args: Operand, **options: Any) -> Value:
        """Add a new operation, and tell what it gives."""
        return self.put(infer(name, args, options), name, *args, **options)

    def reshaped(self, result: Value, inner: Value, name: str, *args: Operand) -> Value:
        """Add an operation that gives ``inner``, and let ``result`` be that in its own shape."""
        if inner.shape == result.shape:
            return self.put(result, name, *args)
        return self.put(result, "reshape", self.put(inner, name, *args), shape=result.shape)

    def constant(self, array: Any) -> Value:
        """Bring in an array that does not change."""
        value = Value(array.shape, array.dtype)
        self.constants[value] = array
        return value

    def instead(self, old: Value, new: Value) -> None:
        """Let a new value stand for an old one from here on."""
        self._instead[old] = new

    def done(self) -> Plan:
        """Give the new plan."""
        return replace(
            self.plan,
            constants={**self.plan.constants, **self.constants},
            operations=tuple(self.operations),
            outputs=tuple(map(self.now, self.plan.outputs)),
            updates={name: self.now(value) for name, value in self.plan.updates.items()},
        )
