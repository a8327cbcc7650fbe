from cluster.desk.diffs import Row, read_diff

TWO = """\
diff --git a/a.py b/a.py
index 1..2 100644
--- a/a.py
+++ b/a.py
@@ -1,3 +1,3 @@ def f():
 one
-two
+TWO
 three
@@ -10 +10,2 @@
-ten
+TEN
+eleven
\\ No newline at end of file
diff --git a/old name.py b/new name.py
similarity index 100%
rename from old name.py
rename to new name.py
diff --git a/gone.bin b/gone.bin
deleted file mode 100644
Binary files a/gone.bin and /dev/null differ
"""


def test_lines_stand_side_by_side_with_their_numbers() -> None:
    file = read_diff(TWO)[0]
    assert file.rows == [
        Row(0, "@@ -1,3 +1,3 @@ def f():", 0, "", "hunk"),
        Row(1, "one", 1, "one", "same"),
        Row(2, "two", 2, "TWO", "changed"),
        Row(3, "three", 3, "three", "same"),
        Row(0, "@@ -10 +10,2 @@", 0, "", "hunk"),
        Row(10, "ten", 10, "TEN", "changed"),
        Row(0, "", 11, "eleven", "added"),
    ]
    assert (file.added, file.removed) == (3, 2)


def test_renamed_deleted_and_binary_files_are_told() -> None:
    told = [(file.path, file.was, file.status) for file in read_diff(TWO)[1:]]
    assert told == [
        ("new name.py", "old name.py", "renamed"),
        ("gone.bin", "", "deleted"),
    ]
    assert read_diff(TWO)[2].notes == ["Binary files a/gone.bin and /dev/null differ"]


def test_content_that_looks_like_a_header_stays_content() -> None:
    text = (
        "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n"
        "--- a/secret\n+++ b/secret\n-diff --git a/y b/y\n+@@ -1 +1 @@\n"
    )
    (file,) = read_diff(text)
    assert file.path == "x"
    assert [row.before for row in file.rows[1:]] == ["-- a/secret", "diff --git a/y b/y"]


def test_a_diff_that_was_cut_is_read_as_far_as_it_goes() -> None:
    cut = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -1,9 +1,9 @@\n one\n+two\n[99 more bytes]\n"
    (file,) = read_diff(cut)
    assert [row.after for row in file.rows[1:]] == ["one", "two"]


def test_quoted_paths_are_read_and_odd_ones_do_no_harm() -> None:
    quoted = 'diff --git "a/caf\\303\\251" "b/caf\\303\\251"\n+++ "b/caf\\303\\251"\n'
    assert read_diff(quoted)[0].path == "café"
    for odd in ('"\\999"', '"\\', '"', "a/", ""):
        assert len(read_diff(f"diff --git {odd}\n+++ {odd}\n")) == 1
