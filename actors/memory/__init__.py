"""What the team remembers of a repository: its code by symbol, and lessons of earlier runs.

What travels is exported here and light. All the rest is for memory's own process.
"""

from actors.memory.values import PIECES, IndexReport, Lesson, RecallReport, SourceFile

__all__ = ["PIECES", "IndexReport", "Lesson", "RecallReport", "SourceFile"]
