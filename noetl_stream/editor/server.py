"""The language server: what an editor asks, answered from the compiler, the schema and the formatter."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import cached_property

from lsprotocol import types
from pygls.lsp.server import LanguageServer
from pygls.workspace import TextDocument

from noetl_stream.editor.checking import problems_of
from noetl_stream.editor.completion import Sort, completions
from noetl_stream.editor.fixes import Edit, fix_of, is_older
from noetl_stream.editor.formatting import formatted
from noetl_stream.editor.hover import hover_at
from noetl_stream.editor.json_schema import playbook_schema
from noetl_stream.editor.json_shapes import Schema
from noetl_stream.editor.marks import Span, span_of
from noetl_stream.editor.mentions import Mention, mentions, renamed, step_at
from noetl_stream.editor.positions import Positions
from noetl_stream.editor.symbols import symbols
from noetl_stream.errors import InvalidPlaybook, InvalidRequest, Problem
from noetl_stream.ports.tools import Kind

NAME = "noetl-stream"
QUIET = 0.2
"""Seconds without a change after which a document is checked."""
_SORTS: Mapping[Sort, types.CompletionItemKind] = {
    "key": types.CompletionItemKind.Property,
    "word": types.CompletionItemKind.EnumMember,
    "step": types.CompletionItemKind.Reference,
    "name": types.CompletionItemKind.Variable,
    "filter": types.CompletionItemKind.Function,
}
_SEVERITY = {"error": types.DiagnosticSeverity.Error, "warning": types.DiagnosticSeverity.Warning}


class PlaybookServer(LanguageServer):
    """One editor's server. It holds no document: the workspace does, and every answer is made from its text."""

    def __init__(self, version: str, kinds: Mapping[str, Kind], quiet: float = QUIET) -> None:
        super().__init__(NAME, version)
        self._kinds, self._quiet = kinds, quiet
        self._checks: dict[str, asyncio.TimerHandle] = {}
        _serve(self)

    @cached_property
    def _schema(self) -> Schema:
        return playbook_schema(self._kinds)

    def check_soon(self, uri: str) -> None:
        """Check a document once nobody has changed it for a moment."""
        self.forget(uri)
        self._checks[uri] = asyncio.get_running_loop().call_later(self._quiet, self.check, uri)

    def forget(self, uri: str) -> None:
        """Do not check a document any more."""
        if waiting := self._checks.pop(uri, None):
            waiting.cancel()

    def check(self, uri: str) -> None:
        """Publish all that the compiler says of a document."""
        document = self._document(uri)
        found = [self._diagnostic(problem, document) for problem in self._problems(document)]
        self.text_document_publish_diagnostics(
            types.PublishDiagnosticsParams(uri=uri, diagnostics=found, version=document.version)
        )

    def complete(self, uri: str, at: types.Position) -> list[types.CompletionItem]:
        """What may be written at a position."""
        document = self._document(uri)
        spot = Positions(document).plain(at)
        found = completions(document.source, spot.line, spot.character, self._schema)
        return [
            types.CompletionItem(
                label=each.label, kind=_SORTS[each.sort], documentation=each.words, insert_text=each.inserted
            )
            for each in found
        ]

    def hover(self, uri: str, at: types.Position) -> types.Hover | None:
        """What stands at a position."""
        document = self._document(uri)
        positions = Positions(document)
        found = hover_at(document.source, positions.index(at), self._schema)
        if found is None:
            return None
        words = types.MarkupContent(kind=types.MarkupKind.Markdown, value=found.words)
        return types.Hover(contents=words, range=positions.range(found.span))

    def mentions(self, uri: str, at: types.Position) -> list[tuple[Mention, types.Location]]:
        """Everywhere the step at a position is named; nothing where no step is."""
        document = self._document(uri)
        positions = Positions(document)
        here = step_at(document.source, positions.index(at))
        if here is None:
            return []
        return [
            (each, types.Location(uri=uri, range=positions.range(each.span)))
            for each in mentions(document.source)
            if each.name == here.name
        ]

    def rename(self, uri: str, at: types.Position, name: str) -> types.WorkspaceEdit | None:
        """A step under another name. Raises InvalidRequest where that would mean something else."""
        document = self._document(uri)
        here = step_at(document.source, Positions(document).index(at))
        if here is None:
            return None
        return self._edit(document, renamed(document.source, here.name, name))

    def symbols(self, uri: str) -> list[types.DocumentSymbol]:
        """The document's steps, with their tasks."""
        document = self._document(uri)
        return symbols(document.source, Positions(document))

    def format(self, uri: str) -> list[types.TextEdit]:
        """The whole document in canonical form; no edit where it is no YAML."""
        document = self._document(uri)
        try:
            text = formatted(document.source, document.filename or uri, self._kinds)
        except InvalidPlaybook:
            return []
        whole = Positions(document).range(Span(0, len(document.source)))
        return [types.TextEdit(range=whole, new_text=text)] if text != document.source else []

    def actions(self, uri: str, place: types.Range) -> list[types.CodeAction]:
        """The fixes for problems that a range touches, and one for all older spellings."""
        document = self._document(uri)
        found = self._problems(document)
        fixes = [(each, fix) for each in found if (fix := fix_of(each, document.source))]
        near = [pair for pair in fixes if _touch(self._diagnostic(pair[0], document).range, place)]
        actions = [self._action(document, f"Write '{fix.text}'", [each], [fix]) for each, fix in near]
        older = [(each, fix) for each, fix in fixes if is_older(each)]
        if len(older) > 1 and any(is_older(each) for each, _ in near):
            problems, edits = [each for each, _ in older], [fix for _, fix in older]
            actions.append(self._action(document, "Write all older spellings as of today", problems, edits))
        return actions

    def _document(self, uri: str) -> TextDocument:
        return self.workspace.get_text_document(uri)

    def _problems(self, document: TextDocument) -> tuple[Problem, ...]:
        return problems_of(document.source, document.filename or document.uri, self._kinds)

    def _diagnostic(self, problem: Problem, document: TextDocument) -> types.Diagnostic:
        hint = f"; {problem.suggestion}" if problem.suggestion else ""
        older = [types.DiagnosticTag.Deprecated] if is_older(problem) else None
        return types.Diagnostic(
            range=Positions(document).range(span_of(problem, document.source)),
            message=problem.message + hint,
            severity=_SEVERITY[problem.severity],
            source=NAME,
            tags=older,
        )

    def _action(
        self, document: TextDocument, title: str, problems: list[Problem], edits: list[Edit]
    ) -> types.CodeAction:
        return types.CodeAction(
            title=title,
            kind=types.CodeActionKind.QuickFix,
            diagnostics=[self._diagnostic(each, document) for each in problems],
            edit=self._edit(document, edits),
        )

    def _edit(self, document: TextDocument, edits: list[Edit]) -> types.WorkspaceEdit:
        positions = Positions(document)
        unique = {edit.span: edit for edit in edits}
        changes = [
            types.TextEdit(range=positions.range(edit.span), new_text=edit.text) for edit in unique.values()
        ]
        return types.WorkspaceEdit(changes={document.uri: changes})


def _touch(one: types.Range, other: types.Range) -> bool:
    return one.start <= other.end and other.start <= one.end


def _serve(server: PlaybookServer) -> None:
    """Register what the server answers."""
    _serve_changes(server)
    _serve_questions(server)
    _serve_steps(server)


def _serve_changes(server: PlaybookServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DID_OPEN)
    def opened(params: types.DidOpenTextDocumentParams) -> None:
        server.check(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CHANGE)
    def changed(params: types.DidChangeTextDocumentParams) -> None:
        server.check_soon(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_DID_CLOSE)
    def closed(params: types.DidCloseTextDocumentParams) -> None:
        server.forget(params.text_document.uri)


def _serve_questions(server: PlaybookServer) -> None:
    @server.feature(
        types.TEXT_DOCUMENT_COMPLETION, types.CompletionOptions(trigger_characters=[" ", ".", "|", "{", "-"])
    )
    def complete(params: types.CompletionParams) -> list[types.CompletionItem]:
        return server.complete(params.text_document.uri, params.position)

    @server.feature(types.TEXT_DOCUMENT_HOVER)
    def hover(params: types.HoverParams) -> types.Hover | None:
        return server.hover(params.text_document.uri, params.position)

    @server.feature(types.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
    def listed(params: types.DocumentSymbolParams) -> list[types.DocumentSymbol]:
        return server.symbols(params.text_document.uri)

    @server.feature(types.TEXT_DOCUMENT_FORMATTING)
    def formats(params: types.DocumentFormattingParams) -> list[types.TextEdit]:
        return server.format(params.text_document.uri)

    @server.feature(
        types.TEXT_DOCUMENT_CODE_ACTION,
        types.CodeActionOptions(code_action_kinds=[types.CodeActionKind.QuickFix]),
    )
    def fixes(params: types.CodeActionParams) -> list[types.CodeAction]:
        return server.actions(params.text_document.uri, params.range)


def _serve_steps(server: PlaybookServer) -> None:
    @server.feature(types.TEXT_DOCUMENT_DEFINITION)
    def defined(params: types.DefinitionParams) -> list[types.Location]:
        found = server.mentions(params.text_document.uri, params.position)
        return [location for mention, location in found if mention.kind == "is"]

    @server.feature(types.TEXT_DOCUMENT_REFERENCES)
    def referred(params: types.ReferenceParams) -> list[types.Location]:
        found = server.mentions(params.text_document.uri, params.position)
        wanted = params.context.include_declaration
        return [location for mention, location in found if wanted or mention.kind != "is"]

    @server.feature(types.TEXT_DOCUMENT_PREPARE_RENAME)
    def may_rename(params: types.PrepareRenameParams) -> types.Range | None:
        found = server.mentions(params.text_document.uri, params.position)
        here = (each.range for _, each in found if each.range.start <= params.position <= each.range.end)
        return next(here, None)

    @server.feature(types.TEXT_DOCUMENT_RENAME, types.RenameOptions(prepare_provider=True))
    def rename(params: types.RenameParams) -> types.WorkspaceEdit | None:
        try:
            return server.rename(params.text_document.uri, params.position, params.new_name)
        except InvalidRequest as error:
            server.window_show_message(
                types.ShowMessageParams(type=types.MessageType.Error, message=str(error))
            )
            return None
