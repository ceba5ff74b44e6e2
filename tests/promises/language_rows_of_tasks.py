"""Rows of tasks, their rules, their kinds and what they yield."""

from __future__ import annotations

from tests.promises.rows import row

PIPELINES = "dsl/test_pipelines.py::"
ROWS = "dsl/test_rows.py::"
POLICY = "worker/test_policy.py::"
PIPELINE = "worker/test_pipeline.py::"
PYTHON = "tools/test_python.py::"
HTTP = "tools/test_http.py::"
POSTGRES = "tools/test_postgres.py::"
DUCKDB = "tools/test_duckdb.py::"
SQL = "contract/sql.py::SqlContract::"
CHILD = "tools/test_playbook.py::"
KEEP = "worker/test_keep.py::"
TEMPLATES = "dsl/test_templates.py::"
KNOWN = ROWS + "test_a_kind_is_known_whether_or_not_it_is_there"

TASKS = (
    row("task.list", "- {name, kind, …}  - label: {kind, …}", "Tasks of a list run in order in one slot, as one block; without a name they are `task_<i>`.", ROWS + "test_tasks_of_a_list_have_labels_names_or_numbers", PIPELINE + "test_tasks_run_in_order_and_each_reads_the_envelope_before_it"),
    row("task.config", "", "A tool's own keys may stand under the task or under its `spec`.", PIPELINES + "TestTools::test_configuration_may_stand_under_spec"),
    row("task.keys", "kind  name  desc  task  input  auth  set  spec  timeout  output  output_select  retry  pool  assert  iterator", "Keys of any task; `args` only where it is a mapping, `payload` likewise and not of http.", PIPELINES + "TestTools::test_a_payload_is_input_but_for_http", "dsl/test_problems.py::test_an_older_spelling_or_a_doubtful_one_is_a_warning", spells="task.input task.auth task.timeout"),
    row("task.auth", "auth: alias", "An alias, a template, `{source}`, or a mapping by alias.", "dsl/test_auth.py::test_every_spelling_names_credentials"),
    row("task.pool", "pool: name  pool: {name, min_size, max_size, max_waiting, timeout}", "Text is a worker pool; a mapping, even an empty one, a connection pool.", "dsl/test_playbooks.py::TestRouting::test_a_mapping_is_a_connection_pool_even_an_empty_one", "dsl/test_layers.py::test_a_mapping_under_a_tasks_spec_is_a_connection_pool"),
    row("task.timeout", "timeout: seconds", "Of one try.", PIPELINE + "test_a_task_that_outlives_its_timeout_fails_and_is_cancelled", PIPELINE + "test_a_timeout_may_be_a_template"),
    row("task.workbook", "{kind: workbook, name, input}  - workbook: name", "Replaced by the entry's tool.", PIPELINES + "TestWorkbook::test_a_call_in_a_list_keeps_its_label", PIPELINES + "TestWorkbook::test_nested_calls_are_replaced_too"),
    row("task.iterator", "iterator: {items, item}", "A sequential loop; the item is called by its name and `item`.", "dsl/test_playbooks.py::TestLoops::test_a_tool_s_iterator_is_a_sequential_loop_with_two_names", "dsl/test_playbooks.py::TestLoops::test_an_iterator_inside_a_pipeline_belongs_to_its_task"),
    row("rule.forms", "{when, then: {do, …}}  {else: {then: {…}}}", "The first rule that matches decides; `else: {do}` and `else: null` beside `then` mean the same.", PIPELINES + "TestPolicy::test_else_may_be_written_in_three_ways", POLICY + "test_the_first_rule_that_matches_decides", spells="rule.when"),
    row("rule.continue", "do: continue", "On to the next task; a `then` with only `set` does it too.", PIPELINES + "TestPolicy::test_a_rule_with_only_a_set_continues", POLICY + "test_a_task_that_failed_and_was_continued_is_done_with_its_envelope"),
    row("rule.retry", "do: retry  attempts  backoff: fixed | linear | exponential  delay", "`attempts` counts all tries, 3 where nobody says; no delay, or one second where the backoff grows; `Retry-After` raises it; used up, the step fails.", PIPELINES + "TestPolicy::test_the_numbers_of_a_retry", POLICY + "test_attempts_count_all_tries_and_the_last_failure_stands", POLICY + "test_three_attempts_where_the_rule_does_not_say", POLICY + "test_backoffs_grow_as_they_are_called", POLICY + "test_a_server_may_ask_for_more_patience", spells="backoff.fixed"),
    row("rule.jump", "do: jump  to", "On to a label.", POLICY + "test_a_jump_goes_round_until_its_rule_no_longer_holds", "dsl/test_problems.py::test_a_mistake_in_a_step_is_told_at_its_place"),
    row("rule.break", "do: break", "The pipeline ends well.", POLICY + "test_a_break_ends_the_pipeline_well"),
    row("rule.fail", "do: fail", "The step fails, even after a task that went well.", POLICY + "test_a_rule_may_fail_what_went_well"),
    row("rule.none", "", "No rule matches: on, or fail if the task failed.", POLICY + "test_without_rules_an_error_fails_the_step"),
    row("task.retry", "retry: {max_attempts, backoff, delay, retry_on, retry_on_status}", "One rule before the others.", PIPELINES + "TestPolicy::test_a_retry_block_is_one_rule_before_the_others", POLICY + "test_the_retry_block_names_kinds_and_statuses", spells="retry.delay retry.max_attempts"),
    row("task.parks", "", "A delay over two seconds frees the slot; the block goes on at the same task.", POLICY + "test_a_long_delay_frees_the_slot_and_goes_on_with_the_next_attempt", POLICY + "test_a_retry_goes_on_at_its_task_and_does_not_repeat_those_before"),
    row("task.moves", "", "A pipeline makes at most 1,000,000 moves.", POLICY + "test_a_pipeline_without_end_is_stopped"),
    row("result.python", "", "The returned object itself.", PYTHON + "test_a_result_is_what_code_returns_or_assigns_or_main_yields"),
    row("result.http", "{status_code, headers, url, elapsed, data, body}", "Exactly these; a status from 400 is an error that still carries them.", HTTP + "test_an_answer_has_exactly_these_keys", HTTP + "test_a_refusal_is_an_error_that_carries_the_answer"),
    row("result.sql", "command_0 …: {rows, columns, row_count}  rows  columns  row_count", "Those of the last statement that produced rows, even none, stand on top.", SQL + "test_every_statement_has_its_result_and_the_last_result_set_stands_on_top", SQL + "test_without_a_result_set_the_last_statements_count_stands_on_top"),
    row("result.pipeline", "results.<task>", "The last task's, each one's beside its own keys; an own `results` wins.", PIPELINE + "test_a_list_of_tasks_keeps_each_ones_result", PIPELINE + "test_a_results_key_of_its_own_wins", ROWS + "test_tasks_of_a_list_have_labels_names_or_numbers"),
    row("result.playbook", "", "The child's: of `return_step`, else of its last step; `{execution_id, status}` with `wait: false`.", CHILD + "test_a_childs_result_is_the_tasks", CHILD + "test_without_waiting_the_result_is_the_childs_id"),
    row("result.external", "_ref  _store  _preview", "On a result only if it was externalised, by default over 64 KiB.", TEMPLATES + "TestReferences::test_an_externalised_result_tells_where_it_is", KEEP + "test_what_is_over_the_limit_becomes_a_reference_with_the_parts_that_others_read"),
    row("result.artifact", "{kind: artifact, action: get, input: {result_ref}}", "The result itself.", "tools/test_artifact.py::test_a_reference_becomes_the_result"),
    row("result.storage", "result: {store: {kind: auto | kv | disk | s3 | gcs | object | log, ttl, driver, bucket, prefix}, select: [{path, as}], output_select: {strategy, threshold_kb}, inline_max_bytes, durable, scope}", "A selection stays inline beside the reference; every other field is still read through it. A store that is not there is `auto`; after `ttl` what is kept apart may go.", "dsl/test_storage.py::test_a_store_is_named_with_or_without_a_mapping", "worker/test_storing.py::test_a_selection_is_a_key_of_the_result_whether_it_is_kept_apart_or_not", "worker/test_storing.py::test_a_condition_on_a_selection_fetches_nothing", "worker/test_storing.py::test_a_store_of_another_place_is_not_there_either", "worker/test_storing.py::test_when_a_result_that_is_kept_apart_may_go_is_noted", "replay/test_sweeping.py::test_what_is_past_its_time_goes_and_its_note_with_it", spells="store.kv"),
    row("kinds", "", "A kind of this table is known whether or not it can run here: a warning, and it fails only if it is reached.", KNOWN, PIPELINE + "test_a_kind_that_is_not_installed_fails_only_if_it_is_reached", "tools/test_builtin.py::test_every_kind_makes_a_tool_of_its_name"),
    row("kind.python", "kind: python", "`code` or `script`; a returned value, else `result`, else `main(…)`; inputs are globals, `context` is read-only; `libs` are bound.", PYTHON + "test_a_result_is_what_code_returns_or_assigns_or_main_yields", PYTHON + "test_the_context_is_read_only_and_knows_the_execution", PYTHON + "test_an_input_with_a_reserved_name_wins", PYTHON + "test_libraries_are_bound_to_their_aliases", PYTHON + "test_a_missing_library_is_an_error_of_the_task", PYTHON + "test_nothing_of_one_call_is_seen_by_the_next", PYTHON + "test_a_frame_is_rows_polars_or_arrow_as_code_asks", PYTHON + "test_a_returned_frame_is_an_arrow_table"),
    row("kind.python.script", "script: {uri, source: {type}}", "Fetched, and never rendered.", PYTHON + "test_a_script_is_read_and_never_rendered", "tools/test_script.py::test_a_file_is_read", "tools/test_script.py::test_an_object_is_read_through_its_store"),
    row("kind.polars", "kind: polars", "`code` over LazyFrames named by `input`, or `sql`.", "tools/test_polars.py::test_every_table_is_a_lazy_frame_by_its_name", "tools/test_polars.py::test_a_config_is_code_or_sql"),
    row("kind.duckdb", "kind: duckdb  kind: sqlite", "Parameters are bound, `%` is literal, splitting respects quotes and comments, statements commit one by one.", DUCKDB + "test_quotes_and_comments_do_not_split", SQL + "test_parameters_are_bound_and_dealt_out", SQL + "test_no_statement_is_an_error", DUCKDB + "test_a_database_is_fresh_unless_it_has_a_file", SQL + "test_statements_commit_one_by_one_unless_they_are_a_transaction"),
    row("kind.postgres", "kind: postgres", "The same shapes; `$name` and `?` are places, a table is a temporary table by its name; columns arrive in exact types; a statement stops at the server when its task does.", POSTGRES + "test_a_value_arrives_in_its_arrow_type_beside_a_null", POSTGRES + "test_text_that_looks_like_a_parameter_is_left_alone", POSTGRES + "test_inputs_that_are_tables_are_tables_by_their_names", POSTGRES + "test_a_cancelled_task_stops_its_statement_at_the_server", "tools/test_postgres_connections.py::test_nothing_is_read_from_the_environment"),
    row("kind.snowflake", "kind: ducklake  kind: snowflake", "The same shapes.", KNOWN, waits="their drivers"),
    row("kind.http", "kind: http", "Bodies by their form; empty parameters are sent, nulls dropped; metadata addresses are refused.", HTTP + "test_a_body_is_sent_as_its_form_says", HTTP + "test_empty_parameters_are_sent_and_nulls_dropped", "tools/test_http_guard.py::test_metadata_services_are_refused_even_where_private_addresses_are_allowed", "tools/test_http_guard.py::test_private_addresses_are_the_deployments_choice", "tools/test_http_pages.py::test_the_items_of_all_pages_are_the_body"),
    row("kind.playbook", "kind: playbook", "A child execution; no slot is held; its failure fails the task.", CHILD + "test_it_asks_for_a_child_and_gives_its_slot_back", CHILD + "test_a_child_that_fails_fails_the_task", CHILD + "test_a_wait_beyond_its_bound_is_a_timeout"),
    row("kind.noop", "kind: noop  kind: workbook  kind: artifact  kind: result_fetch", "A constant; a call; a result.", "tools/test_noop.py::test_noop_yields_its_constant_or_null", "tools/test_artifact.py::test_a_reference_becomes_the_result"),
    row("kind.shell", "kind: shell  kind: script", "Text or words, with limits, without secrets that it inherits.", "tools/test_shell.py::test_a_command_is_text_or_words", "tools/test_shell.py::test_no_secret_of_ours_is_inherited", "tools/test_shell.py::test_limits_hold", "tools/test_shell.py::test_a_script_runs_as_its_first_line_says"),
    row("kind.wait", "kind: wait", "Parks until its moment.", "tools/test_wait.py::test_it_parks_until_a_moment", "tools/test_wait.py::test_once_its_time_has_come_it_is_done"),
    row("kind.object", "kind: object", "Get, put, list, delete.", KNOWN, spells="kind.object", waits="its tool"),
    row("kind.transfer", "kind: transfer  kind: kafka  kind: subscription  kind: container  kind: mcp  kind: wasm  kind: nats  kind: callback  kind: approve", "Known; reaching one fails with `not_installed`.", KNOWN, PIPELINES + "TestTools::test_a_known_kind_that_is_missing_fails_when_reached", waits="their tools"),
    row("kind.plugins", "", "Plugins add kinds by an entry point, as the built-in ones do.", "tools/test_builtin.py::test_a_plugin_adds_a_kind_and_replaces_none", "tools/test_builtin.py::test_ours_are_registered_like_a_plugins"),
    row("keychain.resolution", "keychain.<name>", "Resolved on the worker when a block reads it; one that cannot be resolved fails the task with `credential`.", "dsl/test_sites.py::test_secrets_are_known_inside_a_block_only", waits="the keychain"),
)  # fmt: skip
