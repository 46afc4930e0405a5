"""ROCStories: five-sentence stories with titles (Mostafazadeh et al. 2016), in the three shapes that are around.

* MAGIC's test file: `title<TAB>story` a line.
* The corpus as its authors send it: CSV with storyid, storytitle, sentence1 to sentence5.
* SimCTG's training files: `title <|endoftext|> story` a line.
"""

from __future__ import annotations

from pathlib import Path

from harness.datasets.base import Dataset, DatasetOptions
from harness.datasets.reading import TableError, read_text, table_rows
from harness.errors import DataError
from harness.suites.examples import Example

SENTENCES = tuple(f"sentence{number}" for number in range(1, 6))
END = "<|endoftext|>"
SHAPES = f"title, tab, story; or title {END} story; or CSV with storyid, storytitle and sentence1 to sentence5"


class RocStoriesOptions(DatasetOptions):
    """`[data]` keys of the rocstories format."""

    file: Path
    """The file, relative to the suite's folder."""


class RocStories(Dataset):
    """Stories with titles: MAGIC's tab-separated file, the ROCStories CSV, or SimCTG's training files."""

    Options = RocStoriesOptions
    options: RocStoriesOptions

    def examples(self) -> list[Example]:
        """The stories in order. The position is the id, from 000000: titles repeat (38 of MAGIC's 1,500 do)."""
        path = self.folder / self.options.file
        content = read_text(path, SHAPES).lstrip("\n")
        first = content.partition("\n")[0]
        stories = _from_csv(content, path) if _is_header(first) else _from_lines(content, path)
        if not stories:
            raise DataError(f"{path} has no story; expected {SHAPES}")
        return [Example(f"{index:06d}", prompt=title, references=(story,)) for index, (title, story) in enumerate(stories)]

    def part(self, name: str) -> DatasetOptions | None:
        """See `Dataset.part`. SimCTG's files of the splits are beside the test file: rocstories_train.txt, rocstories_dev.txt."""
        file = self.options.file
        if "test" not in file.name:
            return None
        sibling = {"train": "train", "val": "dev"}[name].join(file.name.rsplit("test", 1))
        return self.options.model_copy(update={"file": file.with_name(sibling)})


def _is_header(line: str) -> bool:
    """Whether a file is CSV: stories have tabs or end tokens between their parts, never both commas and neither."""
    return "," in line and "\t" not in line and END not in line


def _from_lines(content: str, path: Path) -> list[tuple[str, str]]:
    stories = []
    # Not splitlines(): stories may hold U+2028 and friends.
    for number, line in enumerate(content.split("\n"), start=1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split(END if END in line else "\t")]
        parts = parts[:-1] if len(parts) == 3 and not parts[2] else parts  # an end token behind the story
        if len(parts) != 2 or not all(parts):
            raise DataError(f"line {number} of {path} is {line[:60]!r}; expected {SHAPES}")
        stories.append((parts[0], parts[1]))
    return stories


def _from_csv(content: str, path: Path) -> list[tuple[str, str]]:
    stories = []
    try:
        header, records = table_rows(content)
        names = [name.strip().lower() for name in header]
        if twice := {name for name in names if name and names.count(name) > 1}:
            raise DataError(f"{path} has the column {min(twice)} twice; expected each once. Rename one of them")
        columns = {name.strip().lower(): name for name in header if name}
        lacking = [name for name in ("storytitle", *SENTENCES) if name not in columns]
        if lacking:
            raise DataError(
                f"{path} has the columns {', '.join(columns)} and lacks {', '.join(lacking)}; expected the ROCStories CSV, or "
                f"{SHAPES}"
            )
        for line, row in records:
            if None in row:  # the cells beyond the header's
                raise DataError(
                    f"line {line} of {path} has more cells than the header has columns; expected texts with commas in quotation "
                    'marks ("a, b"). Export the table again'
                )
            title = (row[columns["storytitle"]] or "").strip()
            sentences = [(row[columns[name]] or "").strip() for name in SENTENCES]
            if not title or not all(sentences):
                raise DataError(
                    f"line {line} of {path} ({title[:60]!r}) lacks a title or one of its five sentences; expected none empty. "
                    "Fetch the file again"
                )
            stories.append((title, " ".join(sentences)))
    except TableError as error:
        raise DataError(f"{path} is no CSV ({error}); expected {SHAPES}") from error
    return stories
