"""Rows of names, of the eight rules of templates, and of what they may not do."""

from __future__ import annotations

from tests.promises.rows import row

IN_TEMPLATES = "dsl/test_templates.py::"
SITES = "dsl/test_sites.py::"
SCOPE = "core/test_scope.py::"
ROWS = "dsl/test_rows.py::"
BOMBS = "dsl/test_bombs.py::"
EVERYWHERE = SITES + "test_a_name_that_means_the_same_everywhere"
PLACE = SITES + "test_a_name_that_depends_on_its_place"
FAILED = SITES + "test_a_failed_step_tells_its_arcs_and_the_step_behind_them_why"
RULE1 = IN_TEMPLATES + "TestRule1NativeValues::"
RULE2 = IN_TEMPLATES + "TestRule2KeysNotAttributes::"
RULE3 = IN_TEMPLATES + "TestRule3Undefined::"
RULE4 = IN_TEMPLATES + "TestRule4LenientResults::"
RULE5 = IN_TEMPLATES + "TestRule5Filters::"
RULE6 = IN_TEMPLATES + "TestRule6Truth::"

TEMPLATES = (
    row("name.workload", "workload", "The inputs, and each key as a bare name.", EVERYWHERE),
    row("name.ctx", "ctx", "Variables of the execution.", EVERYWHERE),
    row("name.iter", "iter  loop_index  <iterator>", "The item and the iteration's variables.", SITES + "test_a_loop_binds_its_item_its_index_and_its_result"),
    row("name.step", "<step>", "The step's result; its own name in its rules and `set` is its result so far.", PLACE),
    row("name.steps", "steps.<step>", "The step's envelope: `status`, `attempts`, `error`, `started_at`, `finished_at`, `ref`, `findings`, `quarantined`.", EVERYWHERE, SCOPE + "test_steps_are_seen_as_envelopes_once_they_have_finished"),
    row("name.input", "input", "The step's bound inputs: what the arc brought, under what its own `input` binds.", PLACE, "worker/test_pipeline.py::test_a_steps_own_inputs_are_read_by_its_set_and_its_arcs"),
    row("name.output", "output", "In rules, a step's `set` and arcs the envelope `{status, data, response, error, http, ref, meta: {attempt, duration_ms}}`; in a task's own `set` its result, or the envelope if it failed; in its config the envelope of the task before.", PLACE, SITES + "test_a_task_that_failed_and_was_continued_is_an_envelope_from_then_on", "worker/test_scopes.py::test_a_task_that_went_well_writes_from_its_result"),
    row("name.result", "result  response", "In rules, `set` and arcs the task's or step's own; in `input` and config that of the step that led here.", PLACE),
    row("name.error", "error", "The error that led here; undefined where there is none.", FAILED, SCOPE + "test_error_is_undefined_where_none_led_here"),
    row("name.task", "<task>", "An earlier task's result; in its own rules and `set` its result so far.", PLACE),
    row("name.event", "event.name: step.done | step.failed | loop.done", "It compares equal to its older spellings too.", PLACE, SCOPE + "test_an_events_name_equals_its_older_spelling", IN_TEMPLATES + "TestEvents::test_an_older_event_name_compares_equal_and_is_reported", spells="event.step.done event.step.failed"),
    row("name.keychain", "keychain", "Known inside a block only.", SITES + "test_secrets_are_known_inside_a_block_only"),
    row("name.execution", "execution_id  job.uuid  job.execution_id  path  version", "The id is the text of a positive integer below 2^63.", EVERYWHERE),
    row("name.now", "now()  token()", "Recorded, and the same on replay.", EVERYWHERE, SCOPE + "test_now_is_the_decisions_own_moment", SCOPE + "test_tokens_of_one_site_differ_and_are_the_same_on_replay"),
    row("name.others", "spec  env  payload  __frame_max_rows  __frame_max_bytes  __frame_max_seconds  __frame_lease_seconds  __frame_heartbeat_seconds", "The document's, the deployment's, the request's, the claim's.", EVERYWHERE, "dsl/test_playbooks.py::TestWorkload::test_each_default_sees_earlier_keys_and_what_was_given"),
    row("name.order", "", "What cannot be shadowed; tasks and names set here; the iterator; steps that have a result; ctx; workload; the last names.", SCOPE + "test_names_are_found_in_the_languages_order", SCOPE + "test_what_cannot_be_shadowed_is_not", "worker/test_pipeline.py::test_names_in_one_block_are_found_nearest_first", PLACE),
    row("rule 1.native", "{{ … }}", "Exactly one expression yields its native value, white space around it does not matter, a lone undefined is null.", RULE1 + "test_any_json_value_survives_a_sole_expression", RULE1 + "test_white_space_around_a_sole_expression_does_not_matter", RULE1 + "test_a_lone_undefined_yields_null"),
    row("rule 1.text", "", "In mixed text undefined is empty and the rest is written with `str`; text is never typed again.", RULE1 + "test_undefined_is_empty_in_mixed_text", RULE1 + "test_other_values_are_written_with_str_in_mixed_text", RULE1 + "test_text_is_never_typed_again", ROWS + "test_a_number_written_as_text_stays_text"),
    row("rule 1.unparsed", "", "Text that Jinja cannot parse is an error in conditions, `set`, `in` and `input`, else a warning and the text as written.", ROWS + "test_text_that_jinja_cannot_parse_is_kept_where_it_may_be_text", ROWS + "test_text_that_jinja_cannot_parse_is_an_error_where_it_decides"),
    row("rule 2", "start.items  start['items']", "Keys of mappings; attributes and methods are never looked up, a few older calls are read as filters.", RULE2 + "test_a_key_named_like_a_method_is_a_key", RULE2 + "test_attributes_and_methods_are_undefined", RULE2 + "test_an_older_method_call_becomes_a_filter_and_says_so", RULE2 + "test_methods_of_text_and_dates_are_read_as_filters", ROWS + "test_a_key_wins_over_whatever_python_calls_an_attribute", spells="method.get method.items method.keys method.values method.upper method.lower method.trim method.replace method.title method.capitalize method.split method.startswith method.endswith method.isoformat method.strftime"),
    row("rule 3.undefined", "", "Chainable and falsy; so is a look-up on null, while null is defined.", RULE3 + "test_undefined_is_chainable_and_falsy", RULE3 + "test_a_look_up_on_null_is_undefined_but_null_is_defined"),
    row("rule 3.roots", "", "An unknown root is an error in a condition and a warning elsewhere.", ROWS + "test_an_unknown_root_is_an_error_in_a_condition_and_a_warning_elsewhere", ROWS + "test_names_of_steps_tasks_sets_loops_and_inputs_are_known_to_conditions"),
    row("rule 4", "", "A result or an envelope answers a missing key from its own `data`, one level; `.data` of a result without it is the result; an index on an SQL result is a row; brackets do the same.", RULE4 + "test_a_result_answers_from_its_own_data_one_level", RULE4 + "test_data_on_a_result_without_it_is_the_result", RULE4 + "test_nested_values_and_variables_are_not_lenient", RULE4 + "test_an_envelope_answers_from_its_own_keys_first", RULE4 + "test_an_integer_on_a_sql_result_indexes_its_rows"),
    row("rule 5.tojson", "tojson", "Plain JSON, dates as text, decimals as numbers where that is exact.", RULE5 + "test_tojson_is_plain_json", RULE5 + "test_fromjson_reads_what_tojson_writes", RULE1 + "test_decimals_come_out_as_numbers_only_where_that_is_exact"),
    row("rule 5.filters", "fromjson  b64encode  b64decode  get  keys  values  items  regex_search  regex_match  regex_findall  regex_replace  sha256  todatetime  split  startswith  endswith  isoformat  strftime", "Beside Jinja's own.", RULE5 + "test_a_filter_yields", RULE5 + "test_a_filter_refuses", RULE5 + "test_an_unknown_filter_or_test_is_found_when_compiled_even_in_a_branch"),
    row("rule 6", "", "Booleans as they are; text is false only if it says so.", RULE6 + "test_text_that_says_no_is_false", RULE6 + "test_all_other_text_is_true", RULE6 + "test_other_values_are_as_they_are"),
    row("rule 7", "", "Compiled once; a block is sent only what it reads.", RULE3 + "test_reads_are_the_constant_paths", "core/test_offers.py::test_a_block_that_reads_nothing_is_sent_nothing", "core/test_offers.py::test_a_block_is_sent_one_key_where_it_names_it", "dsl/test_playbooks.py::TestSales::test_a_step_is_sent_what_its_block_reads"),
    row("rule 8", "", "In `code` a template outside comments whose roots are all known is replaced by its text, with a warning; other braces stay.", "dsl/test_text.py::test_a_template_of_known_names_is_replaced_by_its_text", "dsl/test_text.py::test_everything_else_stays_as_written"),
    row("sandbox.escapes", "", "No attribute, no method, no module is reached.", "dsl/test_sandbox.py::test_a_known_escape_reaches_nothing", "dsl/test_sandbox.py::test_a_value_is_never_called_by_another_name"),
    row("sandbox.bounds", "", "Text, lists, integers, patterns, operations and nesting are bounded, in bounded time and memory, wherever a template stands.", BOMBS + "test_a_value_that_holds_itself_over_and_over_is_never_followed_to_its_end", BOMBS + "test_work_that_has_no_end_stops_at_its_bound", BOMBS + "test_a_chain_without_end_is_refused_before_it_runs", BOMBS + "test_a_bomb_fails_its_step_wherever_it_stands", BOMBS + "test_a_bomb_in_the_workload_fails_the_execution_before_it_begins", "dsl/test_sandbox.py::test_what_would_be_endless_or_enormous_ends_with_a_reason", "dsl/test_sandbox.py::test_a_slow_pattern_is_matched_in_linear_time"),
    row("sandbox.faults", "", "An expression that fails names the step, the key and its text, never a value.", "dsl/test_sandbox.py::test_a_fault_names_its_reason_and_place_but_no_value", ROWS + "test_a_secret_in_a_computed_key_is_not_told"),
)  # fmt: skip
