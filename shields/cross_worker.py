"""The process in which cvc5 answers: queries on stdin, each behind its length; answers on stdout.

    python -m nprl.shields.cross_worker MILLISECONDS

The first line that it prints is the solver's version. It holds no other part of the package.
"""

from __future__ import annotations

import sys

import cvc5


def main(milliseconds: str) -> None:
    """Answer until the input ends."""
    terms = cvc5.TermManager()
    print(f"cvc5 {cvc5.__version__}", flush=True)
    for line in iter(sys.stdin.readline, ""):
        print(answer(terms, sys.stdin.read(int(line)), milliseconds), flush=True)


def answer(terms: cvc5.TermManager, text: str, milliseconds: str) -> str:
    """What cvc5 says of one SMT-LIB 2 text, on one line."""
    solver = cvc5.Solver(terms)
    solver.setOption("tlimit-per", milliseconds)
    parser = cvc5.InputParser(solver)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "query")
    said = ""
    try:
        while not (command := parser.nextCommand()).isNull():
            said = str(command.invoke(solver, parser.getSymbolManager())).strip() or said
    except RuntimeError as error:
        said = f"refused: {error}"
    return " ".join(said.split()) or "nothing"


if __name__ == "__main__":
    main(sys.argv[1])
