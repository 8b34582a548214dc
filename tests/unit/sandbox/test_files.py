from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from bulkhead_sandbox.tool_runner.files import (
    MAX_FILE_BYTES,
    Entry,
    FileMissing,
    FileProblem,
    Folder,
    session_folder,
)

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file that nobody may reach."""
    secret = tmp_path / "outside" / "secret"
    secret.parent.mkdir()
    secret.write_text("planted")
    return secret


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return session_folder(tmp_path / "work", "alice", "1")


@pytest.fixture
def folder(root: Path) -> Folder:
    return Folder(root)


def test_what_is_written_is_read_and_listed_and_gone_when_deleted(folder: Folder) -> None:
    """The main job."""
    assert folder.write("a/b/note.txt", b"hello", append=False) == 5
    assert folder.read("a/b/note.txt", 1, 3) == (b"ell", 5)
    assert folder.entries("a") == ([Entry("b", "folder", folder.entries("a")[0][0].size_bytes)], False)
    folder.delete("a")
    assert folder.entries("") == ([], False)


def test_append_adds_and_makes(folder: Folder) -> None:
    """Files beyond one request's size could not be written."""
    assert [folder.write("f", data, append=True) for data in (b"ab", b"cd")] == [2, 4]
    assert folder.read("f", 0, 10) == (b"abcd", 4)


BAD_PATHS = ["", "/etc/passwd", "..", "../outside/secret", "a/../../x", "./a", "a//b", "a/", "a\0b", "."]


@pytest.mark.parametrize("path", BAD_PATHS, ids=repr)
def test_path_that_is_not_plain_is_refused(folder: Folder, outside: Path, path: str) -> None:
    """The way out of the folder."""
    for act in (
        lambda: folder.read(path, 0, 10),
        lambda: folder.write(path, b"x", append=False),
        lambda: folder.delete(path),
    ):
        with pytest.raises(FileProblem):
            act()
    assert outside.read_text() == "planted"


def test_link_as_a_folder_is_not_followed(folder: Folder, root: Path, outside: Path) -> None:
    """A command of the same session can make any link."""
    (root / "d").symlink_to(outside.parent)
    for act in (
        lambda: folder.read("d/secret", 0, 10),
        lambda: folder.write("d/secret", b"x", append=False),
        lambda: folder.write("d/new", b"x", append=True),
        lambda: folder.entries("d"),
        lambda: folder.delete("d/secret"),
    ):
        with pytest.raises(FileProblem):
            act()
    assert os.listdir(outside.parent) == ["secret"]  # noqa: PTH208
    assert outside.read_text() == "planted"


def test_link_as_a_file_is_not_read_and_is_replaced_not_followed(
    folder: Folder, root: Path, outside: Path
) -> None:
    """Reading would show what it points at; writing would change it."""
    (root / "f").symlink_to(outside)
    with pytest.raises(FileProblem):
        folder.read("f", 0, 10)
    with pytest.raises(FileProblem):
        folder.write("f", b"x", append=True)
    folder.write("f", b"mine", append=False)
    assert (outside.read_text(), folder.read("f", 0, 10)) == ("planted", (b"mine", 4))


def test_deleting_a_link_or_a_folder_with_links_spares_their_targets(
    folder: Folder, root: Path, outside: Path
) -> None:
    """Clean-up would reach where nothing else does."""
    (root / "d").mkdir()
    (root / "d" / "l").symlink_to(outside.parent)
    (root / "l").symlink_to(outside.parent)
    folder.delete("d")
    folder.delete("l")
    assert outside.read_text() == "planted"


def test_session_folder_replaced_by_a_link_is_not_followed(root: Path, outside: Path) -> None:
    """A command could move its own folder away and put a link in its place."""
    root.rmdir()
    root.symlink_to(outside.parent)
    with pytest.raises(FileProblem):
        Folder(root).read("secret", 0, 10)


def test_pipe_is_no_file_and_does_not_hang(folder: Folder, root: Path) -> None:
    """Opening a pipe waits for a writer: a thread a call, until there are none left."""
    os.mkfifo(root / "pipe")
    with pytest.raises(FileProblem):
        folder.read("pipe", 0, 10)


def test_reader_sees_old_or_new_and_no_draft_stays(folder: Folder, root: Path) -> None:
    """Half a file would be read, or the folder fill with leftovers."""
    folder.write("f", b"old", append=False)
    before = (root / "f").open("rb")
    folder.write("f", b"new content", append=False)
    with before:
        assert before.read() == b"old"
    with pytest.raises(FileProblem):
        folder.write("f/under-a-file", b"x", append=False)
    (root / "d").mkdir()
    with pytest.raises(FileProblem):
        folder.write("d", b"x", append=False)
    assert sorted(os.listdir(root)) == ["d", "f"]  # noqa: PTH208


def test_file_has_a_largest_size(folder: Folder, root: Path) -> None:
    """A loop of appends would fill the pod's disk through one file."""
    with (root / "f").open("wb") as file:
        file.truncate(MAX_FILE_BYTES)
    with pytest.raises(FileProblem, match="at most"):
        folder.write("f", b"x", append=True)


def test_missing_file_is_told_without_the_way_to_it(folder: Folder, root: Path) -> None:
    """Names of folders outside are nobody's business."""
    with pytest.raises(FileMissing) as caught:
        folder.read("nope", 0, 1)
    assert str(caught.value) == "nope: no such file or folder"
    assert str(root) not in str(caught.value)


def test_long_list_is_cut_and_said_to_be(folder: Folder, root: Path) -> None:
    """An answer beyond every limit."""
    for i in range(1001):
        (root / f"{i:04}").touch()
    entries, truncated = folder.entries("")
    assert (len(entries), truncated, entries[0].name) == (1000, True, "0000")


def test_folder_of_a_session_depends_on_user_and_session(tmp_path: Path) -> None:
    """Two users would share files, or `a` + `bc` would be `ab` + `c`."""
    pairs = [("alice", "1"), ("alice", "2"), ("bob", "1"), ("alice1", ""), ("", "alice1")]
    folders = {session_folder(tmp_path, *pair) for pair in pairs}
    assert len(folders) == 5
    assert all(folder.parent == tmp_path and folder.stat().st_mode & 0o77 == 0 for folder in folders)
