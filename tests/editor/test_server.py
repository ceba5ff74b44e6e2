"""The language server as an editor drives it: a process, and the protocol over its stdin and stdout."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from lsprotocol import types
from pygls.lsp.client import LanguageClient

pytestmark = pytest.mark.slow
URI = "file:///work.yaml"
TEXT = """\
apiVersion: noetl.io/v2
kind: Playbook
metadata: {name: "😀"}
workflow:
  - step: start
    args: {who: "😀 {{ strat }}"}
    tool: {kind: pyhton}
    next: shout
  - step: shout
    tool: {kind: noop, result: "{{ start }}"}
"""


class Editor(LanguageClient):
    """An editor with one document. `published` holds what it was told of it, in order."""

    def __init__(self) -> None:
        super().__init__("editor", "1")
        self.published: asyncio.Queue[types.PublishDiagnosticsParams] = asyncio.Queue()
        self.shown: list[str] = []

        @self.feature(types.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)  # type: ignore[untyped-decorator] # pygls leaves it so
        def published(params: types.PublishDiagnosticsParams) -> None:
            self.published.put_nowait(params)

        @self.feature(types.WINDOW_SHOW_MESSAGE)  # type: ignore[untyped-decorator] # pygls leaves it so
        def shown(params: types.ShowMessageParams) -> None:
            self.shown.append(params.message)

    async def write(self, text: str, version: int = 1) -> list[types.Diagnostic]:
        """Open or change the document, and wait for what is said of that version."""
        if version == 1:
            item = types.TextDocumentItem(uri=URI, language_id="yaml", version=1, text=text)
            self.text_document_did_open(types.DidOpenTextDocumentParams(text_document=item))
        else:
            self.change(text, version)
        while (found := await self.published.get()).version != version:
            pass
        return list(found.diagnostics)

    def change(self, text: str, version: int) -> None:
        document = types.VersionedTextDocumentIdentifier(uri=URI, version=version)
        whole = types.TextDocumentContentChangeWholeDocument(text=text)
        self.text_document_did_change(
            types.DidChangeTextDocumentParams(text_document=document, content_changes=[whole])
        )


DOCUMENT = types.TextDocumentIdentifier(uri=URI)


@pytest_asyncio.fixture
async def editor() -> AsyncIterator[Editor]:
    client = Editor()
    await client.start_io(sys.executable, "-m", "noetl_stream.cli", "lsp")
    await client.initialize_async(
        types.InitializeParams(capabilities=types.ClientCapabilities(), root_uri=Path.cwd().as_uri())
    )
    client.initialized(types.InitializedParams())
    yield client
    await client.shutdown_async(None)
    client.exit(None)
    await client.stop()  # type: ignore[no-untyped-call] # pygls leaves it so


def at(word: str, text: str = TEXT, offset: int = 0) -> types.Position:
    """Where a word begins, as editors count: in UTF-16."""
    before = text[: text.index(word) + offset]
    line = before.rsplit("\n", 1)[-1]
    return types.Position(line=before.count("\n"), character=len(line.encode("utf-16-le")) // 2)


def under(place: types.Range, text: str = TEXT) -> str:
    """The text of a range within one line."""
    line = text.split("\n")[place.start.line].encode("utf-16-le")
    return line[place.start.character * 2 : place.end.character * 2].decode("utf-16-le")


async def test_problems_are_told_at_their_words_and_go_with_them(editor: Editor) -> None:
    found = await editor.write(TEXT)

    assert {(under(each.range), each.severity) for each in found} == {
        ("args", types.DiagnosticSeverity.Warning),
        ("strat", types.DiagnosticSeverity.Warning),
        ("pyhton", types.DiagnosticSeverity.Error),
    }
    mended = TEXT.replace("args", "input").replace("strat", "ctx").replace("pyhton", "noop")
    assert await editor.write(mended, version=2) == []


async def test_of_quick_changes_only_the_last_is_checked(editor: Editor) -> None:
    await editor.write(TEXT)
    for version in range(2, 10):
        editor.change("kind: [", version)
    [only] = await editor.write("kind: [a", version=10)

    assert "YAML" in only.message
    assert editor.published.empty()


async def test_what_may_be_written_is_offered(editor: Editor) -> None:
    text = TEXT.replace("    next: shout\n", "    next: \n    lo\n")
    await editor.write(text)

    async def offered(position: types.Position) -> set[str]:
        params = types.CompletionParams(text_document=DOCUMENT, position=position)
        found = await editor.text_document_completion_async(params)
        assert isinstance(found, list)
        return {each.label for each in found}

    assert {"start", "shout"} <= await offered(at("next: ", text, offset=6))
    assert "loop" in await offered(at("lo\n", text, offset=2))


async def test_a_step_is_explained_found_and_renamed(editor: Editor) -> None:
    text = TEXT.replace("strat", "shout")
    await editor.write(text)
    here = types.Position(line=8, character=12)

    told = await editor.text_document_hover_async(types.HoverParams(text_document=DOCUMENT, position=here))
    target = await editor.text_document_definition_async(
        types.DefinitionParams(text_document=DOCUMENT, position=at("next: shout", text, offset=8))
    )
    context = types.ReferenceContext(include_declaration=False)
    uses = await editor.text_document_references_async(
        types.ReferenceParams(text_document=DOCUMENT, position=here, context=context)
    )
    edit = await editor.text_document_rename_async(
        types.RenameParams(text_document=DOCUMENT, position=here, new_name="cry")
    )

    assert told is not None
    assert "step shout" in str(told.contents)
    assert isinstance(target, list)
    assert [each.range.start.line for each in target if isinstance(each, types.Location)] == [8]
    assert uses is not None
    assert [under(each.range, text) for each in uses] == ["shout", "shout"]
    assert edit is not None
    assert edit.changes is not None
    assert [(each.range.start.line, each.new_text) for each in edit.changes[URI]] == [
        (5, "cry"),
        (7, "cry"),
        (8, "cry"),
    ]


async def test_a_name_that_is_taken_is_refused_with_a_sentence(editor: Editor) -> None:
    await editor.write(TEXT)
    params = types.RenameParams(text_document=DOCUMENT, position=at("start"), new_name="shout")

    assert await editor.text_document_rename_async(params) is None
    assert editor.shown == ["'shout' cannot be a step's name here; choose one that is not taken"]


async def test_the_outline_has_the_steps(editor: Editor) -> None:
    await editor.write(TEXT)

    found = await editor.text_document_document_symbol_async(
        types.DocumentSymbolParams(text_document=DOCUMENT)
    )

    assert found is not None
    assert [each.name for each in found] == ["start", "shout"]


async def test_a_document_is_formatted_and_older_spellings_are_mended(editor: Editor) -> None:
    await editor.write(TEXT)
    options = types.FormattingOptions(tab_size=2, insert_spaces=True)

    edits = await editor.text_document_formatting_async(
        types.DocumentFormattingParams(text_document=DOCUMENT, options=options)
    )
    place = types.Range(start=at("args"), end=at("args"))
    actions = await editor.text_document_code_action_async(
        types.CodeActionParams(
            text_document=DOCUMENT, range=place, context=types.CodeActionContext(diagnostics=[])
        )
    )

    assert edits is not None
    assert "    input: {who:" in edits[0].new_text
    assert actions is not None
    assert [each.title for each in actions] == ["Write 'input'"]
