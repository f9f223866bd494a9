"""Prints the story so that a person enjoys reading it."""

import os
import re
import shutil
import sys
import textwrap

LABEL = 8
COLOURS = {"bold": "1", "dim": "2", "red": "31", "green": "32",
           "yellow": "33", "cyan": "36"}


class Screen:
    def __init__(self, out=None):
        self.out = out or sys.stdout
        self.out.reconfigure(errors="replace")  # a locale without …
        self.colour = self.out.isatty() and not os.environ.get("NO_COLOR") \
            and os.environ.get("TERM") != "dumb"
        width = shutil.get_terminal_size((80, 24)).columns
        self.width = max(60, min(width, 100))
        self.transcript = []

    def paint(self, text, *colours):
        if not self.colour or not colours:
            return text
        return "\033[%sm%s\033[0m" % (
            ";".join(COLOURS[name] for name in colours), text)

    def line(self, text=""):
        print(text, file=self.out, flush=True)
        self.transcript.append(re.sub("\033\\[[0-9;]*m", "", text))

    def title(self, text):
        self.line(self.paint(text, "bold"))
        self.line()

    def step(self, number, text):
        self.line()
        self.line(self.paint("%2d  %s" % (number, text), "bold"))

    def text(self, text):
        """A remark, wrapped."""
        for line in textwrap.wrap(text, self.width - 4, break_long_words=False,
                                  break_on_hyphens=False):
            self.line("    " + line)

    def field(self, label, text, *colours):
        """A labelled line, wrapped under itself."""
        lines = textwrap.wrap(text, self.width - 4 - LABEL,
                              break_long_words=False,
                              break_on_hyphens=False) or [""]
        for i, part in enumerate(lines):
            head = self.paint("%-*s" % (LABEL, label if i == 0 else ""), "dim")
            self.line("    " + head + self.paint(part, *colours))

    def quote(self, text, *colours):
        """What a program printed; long lines go on under themselves."""
        for line in text.rstrip("\n").split("\n"):
            indent = len(line) - len(line.lstrip())
            parts = textwrap.wrap(
                line, self.width - 6, subsequent_indent=" " * (indent + 4),
                drop_whitespace=True, break_on_hyphens=False) or [""]
            for part in parts:
                self.line("    " + self.paint("│ ", "dim")
                          + self.paint(part, *(colours or ("cyan",))))
