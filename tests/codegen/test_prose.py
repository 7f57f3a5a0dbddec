from __future__ import annotations

from codegen import prose


def test_the_lines_of_a_paragraph_are_joined() -> None:
    assert prose.blocks("One\ntwo.\n\nThree.") == ["One two.", "Three."]


def test_list_items_stay_apart() -> None:
    assert prose.blocks("- one\n  more\n- two") == ["- one more", "- two"]


def test_indented_text_stays_as_it_is() -> None:
    assert prose.blocks("See:\n\n  a  b\n  c") == ["See:", "  a  b\n  c"]


def test_long_text_is_wrapped_with_a_hanging_indent() -> None:
    lines = prose.wrapped("word " * 30, "    ", "        ")
    assert len(lines) == 2
    assert all(len(line) <= prose.WIDTH for line in lines)
    assert lines[0].startswith("    word")
    assert lines[1].startswith("        word")


def test_a_short_comment_is_a_docstring_on_one_line() -> None:
    assert prose.docstring("A thing.", "    ") == '    """A thing."""'


def test_the_first_sentence_of_a_long_comment_is_the_summary() -> None:
    first, blank, *rest = prose.docstring("A thing. " + "More of it. " * 20, "").splitlines()
    assert first == '"""A thing.'
    assert blank == ""
    assert rest[-1] == '"""'


def test_a_docstring_means_the_text_that_it_was_made_of() -> None:
    comment = 'A \\ and """ in it.'
    namespace: dict[str, str] = {}
    exec(f"text = {prose.docstring(comment, '')}", namespace)  # noqa: S102 - that is the test
    assert namespace["text"] == comment


def test_a_docstring_may_end_with_a_quote() -> None:
    namespace: dict[str, str] = {}
    docstring = prose.docstring('It is "so"', "")
    exec(f"text = {docstring}", namespace)  # noqa: S102 - that is the test
    assert namespace["text"].strip() == 'It is "so"'
