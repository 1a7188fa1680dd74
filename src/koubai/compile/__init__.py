"""Compiled steps: run the readable layers once, write down what they do, and replay that."""

import sys
from types import ModuleType
from typing import Any

from koubai.compile.function import CompiledFunction, compile_function
from koubai.compile.step import CompiledStep, compile_step

__all__ = ["CompiledFunction", "CompiledStep", "compile_function", "compile_step"]


class _CompilePackage(ModuleType):
    """``koubai.compile`` is this package, and the function as well."""

    def __call__(self, function: Any) -> CompiledFunction:
        return compile_function(function)


_CompilePackage.__call__.__doc__ = compile_function.__doc__
sys.modules[__name__].__class__ = _CompilePackage
