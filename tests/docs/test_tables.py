"""What stands in a table of the documentation has a test.

Tables that the code can be asked about are compared with it; every other one names the tests that
hold what it says.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import click
import pytest

import rlmesh
from rlmesh import errors
from rlmesh._cli.main import main
from rlmesh.client.connection import MAX_SMALL_ANSWER_BYTES
from rlmesh.client.notices import MAX_NOTICES
from rlmesh.client.transport_selection import MAX_OFFERS
from rlmesh.codec.checks.conformance import MAX_REPORTED
from rlmesh.codec.infos.degradation import PackingLimits
from rlmesh.codec.infos.unpacking import MAX_ANSWER_VALUES, MAX_ARGUMENT_VALUES
from rlmesh.foreign_text import LONGEST_NAME, LONGEST_TEXT
from rlmesh.limits import MAX_COMPRESSED_REQUEST_BYTES, MAX_MESSAGE_BYTES, MAX_SEED_BITS
from rlmesh.server.rpc.health import MAX_ANSWERS, MAX_WATCHES
from rlmesh.transports.failures import MAX_HOLDERS
from rlmesh.transports.grpc.options import MAX_STREAMS
from rlmesh.transports.grpc.pieces import PIECE_BYTES
from rlmesh.transports.system_resources import MIN_FREE_DESCRIPTORS
from support.pages import code, tables
from support.repository import ROOT

# The tables of measurements are held by tests/benchmarks/, tests/soak/ and tests/compatibility/.
MEASURED = {
    ROOT / f"docs/{name}.md"
    for name in (
        "capacity",
        "compatibility",
        "network",
        "performance",
        "model-performance",
        "endurance",
    )
}
PAGES = sorted(str(page.relative_to(ROOT)) for page in {*ROOT.glob("docs/*.md")} - MEASURED)
ROWS = {f"{page} / {name}": rows for page in PAGES for name, rows in tables(page).items()}

SERVE_OPTIONS = "docs/serving.md / From start to end: Option"
SERVER_ARGUMENTS = "docs/serving.md / What else the constructor takes: Argument"
CLIENT_ARGUMENTS = "docs/driving.md / Driving an environment: Argument"
SERVER_TLS = "docs/security.md / Settings: Of `ServerTLS`"
CLIENT_TLS = "docs/security.md / Settings: Of `ClientTLS`"
CLIENT_LIMITS = "docs/security.md / What a stranger may cost: What a client sends"
CONTRACT_COSTS = "docs/security.md / What a stranger may cost: What a server's contract declares"
FULL = "docs/endurance.md / When a machine is full: What is missing"
ROWS[FULL] = tables("docs/endurance.md")["When a machine is full: What is missing"]
SERVER_LIMITS = "docs/security.md / What a stranger may cost: What a server sends"
STRANGERS = "docs/security.md / What a stranger may cost: What"
SAFETY = "docs/security.md / Settings: Argument"
INFO_LIMITS = "docs/conformance.md / Infos and options: Limit of an info"
COMMANDS = "docs/command-line.md / Command line: Command"
OPTIONS = "docs/command-line.md / {}: Option"

# Which tests hold what a table says, beside those below.
HELD_BY: dict[str, list[str]] = {
    "docs/old-simulators.md / What it does not do: It has no": [
        "legacy/test_legacy_server.py::test_a_session_is_not_kept_and_its_client_learns_that",
        "legacy/test_legacy_server.py::test_values_of_all_seven_spaces_cross_as_they_are",
        "legacy/test_legacy_server.py::test_what_the_server_cannot_is_said_when_it_starts",
        "legacy/test_legacy_server.py::test_one_client_has_the_environment_and_the_next_may_wait",
        "legacy/test_legacy_server.py::test_a_second_signal_ends_a_server_whose_environment_hangs",
        "legacy/test_legacy_server.py::test_infos_of_old_vector_environments_have_gymnasiums_form",
        "legacy/test_legacy_server.py::test_what_an_environment_raises_and_what_cannot_travel",
    ],
    "docs/adapting.md / The steps: Step": [
        "adapters/test_steps.py::test_every_kind_has_a_case_and_is_compiled",
        "adapters/test_steps.py::test_what_a_step_gives_is_in_its_space",
        "adapters/test_steps.py::test_the_numbers_are_those_of_the_formulas",
        "adapters/test_rotations.py::test_each_form_becomes_each_other_and_back",
        "adapters/test_images.py::test_proportions_are_kept_with_a_border_or_by_a_cut",
        "adapters/test_frame_stack.py::test_an_episode_begins_with_padding_and_forgets_what_is_old",
    ],
    "docs/tracing.md / The spans: Span": [
        "test_tracing.py::test_one_trace_holds_the_spans_of_a_client_and_of_its_server",
        "test_tracing.py::test_a_prediction_has_a_span_on_either_side",
        "test_tracing.py::test_each_sub_environment_has_its_episodes",
        "test_tracing.py::test_steps_have_spans_where_they_are_asked_for",
    ],
    "docs/chunks.md / What it counts: Attribute": [
        "chunking/test_chunks.py::test_each_step_has_its_action_and_each_action_its_count",
        "chunking/test_chunks.py::test_without_prefetch_all_is_on_the_callers_thread_and_counts_are_exact",
    ],
    "docs/models.md / What a model is: Part": [
        "server/models/test_predictions.py::test_every_method_is_there_whichever_the_model_has",
        "server/models/test_predictions.py::test_the_contract_says_what_the_model_is",
        "server/models/test_predictions.py::test_what_is_no_model_is_refused_by_name",
        "adapters/test_adapt.py::test_a_model_brings_its_steps_in_its_contract",
        "server/models/test_offers.py::test_a_served_model_is_offered_what_a_local_one_is",
        "server/models/test_model_sessions.py::test_the_same_seed_gives_the_same_episode",
        "server/models/test_worker_life.py::test_a_drain_lets_what_was_asked_finish_and_closes_the_model_once",
        "server/models/test_worker_life.py::test_health_says_serving_once_a_model_is_warmed_up_for_each_name",
    ],
    "docs/models.md / In a process of its own: The model": [
        "server/models/test_isolation.py::test_what_a_model_raises_ends_no_process",
        "server/models/test_isolation.py::test_a_crash_ends_the_requests_in_flight_and_the_states",
        "server/models/test_isolation.py::test_a_model_without_state_goes_on_with_the_next_call",
        "server/models/test_isolation.py::test_a_hang_is_shown_with_its_stack_and_a_shutdown_ends_it",
    ],
    "docs/command-line.md / Command line: Exit code": [
        "cli/test_asking.py::test_nobody_at_the_address_is_one_line_and_exit_code_1",
        "cli/test_failures.py::test_wrong_usage_exits_2_before_anything_is_loaded",
        "cli/test_signals.py::test_when_nobody_is_there",
    ],
    "docs/command-line.md / Command line: Environment variable": [
        "cli/test_serve.py::test_rlmesh_address_says_where_to_serve",
        "cli/test_serve.py::test_rlmesh_port_is_a_port_of_the_loopback",
        "cli/test_serve.py::test_rlmesh_address_goes_before_rlmesh_port",
        "cli/test_serve.py::test_the_option_goes_before_the_environment_variables",
        "cli/test_asking.py::test_the_address_may_come_from_the_environment",
        "cli/test_demo.py::test_the_transport_may_come_from_the_environment_and_the_address_of_another_server_does_not",
        "codec/checks/test_conformance_policy.py::test_the_variable_is_read_where_there_is_no_argument",
        "cli/test_security.py::test_the_token_may_come_from_the_environment",
        "deploy/test_systemd.py::test_the_unit_is_active_once_the_server_serves_and_ends_in_time",
    ],
    "docs/serving.md / In a process of its own: The environment": [
        "server/envs/test_isolation.py::test_a_death_is_told_and_its_server_and_neighbours_live_on",
        "server/envs/test_isolation.py::test_a_crash_is_told_with_last_words_and_the_place_in_python",
        "server/envs/test_isolation.py::test_a_death_between_calls_is_told_at_the_next_unless_it_is_a_reset",
        "server/envs/test_isolation.py::test_a_call_that_never_returns_ends_at_the_servers_deadline",
        "server/envs/test_isolation.py::test_a_call_that_its_client_gave_up_does_not_keep_a_reset_waiting",
    ],
    "docs/parallel.md / Coming from AsyncVectorEnv: ": [
        f"parallel/{test}"
        for test in (
            "test_coming_from_async_vector_env.py::test_workers_are_no_forks",
            "test_coming_from_async_vector_env.py::test_workers_do_not_import_the_main_module",
            "test_coming_from_async_vector_env.py::test_callables_cross_by_cloudpickle",
            "test_coming_from_async_vector_env.py::test_there_is_a_worker_for_each_processor",
            "test_coming_from_async_vector_env.py::test_an_object_becomes_its_text_or_an_error",
            "test_coming_from_async_vector_env.py::test_the_generator_is_that_of_the_vector_environment",
            "test_coming_from_async_vector_env.py::test_what_is_not_there",
            "test_sameness.py::test_values_of_every_space_cross_as_they_are",
            "test_sameness.py::test_views_equal_copies_and_hold_until_the_next_call",
            "test_workers.py::test_an_exception_arrives_with_its_traceback_and_the_number",
            "test_workers.py::test_a_worker_that_dies_is_an_error_naming_its_sub_environments",
            "test_workers.py::test_a_worker_is_replaced_and_no_other_episode_is_touched",
            "test_workers.py::test_workers_end_with_the_program_whatever_kills_it",
            "test_asynchronous_steps.py::test_a_late_result_is_an_error_that_says_where_the_sub_environment_is",
        )
    ],
    "docs/serving.md / In a process of its own: Transport": [
        "server/envs/test_lent_pipes.py::test_a_pipe_is_lent_between_calls",
        "server/envs/test_lent_pipes.py::test_a_worker_answers_its_client_while_the_server_is_stopped",
        "server/envs/test_lent_pipes.py::test_where_a_loan_cannot_serve_the_server_relays",
    ],
    "docs/command-line.md / serve: `ENV`": [
        "cli/test_serve.py::test_one_line_names_the_environment_and_the_address",
        "cli/test_serve.py::test_an_id_with_its_package",
        "cli/test_serve.py::test_the_console_script_finds_a_callable_of_the_working_directory",
    ],
    "docs/conformance.md / What arrives: Space": [
        "client/test_values.py::test_what_the_space_declares_is_what_the_client_gets",
        "server/sessions/test_calls.py::test_the_environment_gets_what_sample_would_give_it",
        "server/sessions/test_calls.py::test_any_real_scalar_is_a_reward",
        "server/sessions/test_calls.py::test_any_bool_or_one_is_a_flag",
        "docs/test_claims.py::test_sub_envs_are_driven_with_remote_vector_env",
    ],
    "docs/conformance.md / What is coerced: Declared": [
        "docs/test_claims.py::test_what_is_exact_is_taken",
        "docs/test_claims.py::test_what_never_conforms_is_rejected",
    ],
    "docs/conformance.md / What a policy decides: Finding": [
        "docs/test_claims.py::test_warn_delivers_and_tells_once",
        "docs/test_claims.py::test_strict_rejects",
        "docs/test_claims.py::test_off_delivers",
    ],
    "docs/conformance.md / NaN: `nan=`": [
        "server/test_nan.py::test_nan_is_rejected_unless_the_server_delivers_it",
        "server/test_nan.py::test_nan_arrives_bit_for_bit_in_observations_and_actions",
        "server/test_nan.py::test_nan_that_is_no_element_of_a_box_of_floats_is_rejected",
    ],
    "docs/conformance.md / Infos and options: Value": [
        "docs/test_claims.py::test_an_info_of_builtins_arrives_as_it_was",
        "docs/test_claims.py::test_subclasses_in_an_info_arrive_as_builtins",
        "docs/test_claims.py::test_anything_else_in_an_info_becomes_its_text_and_is_listed",
        "docs/test_claims.py::test_a_cycle_in_an_info_is_listed",
        "codec/infos/test_packing.py::test_an_array_of_any_dtype_and_shape_arrives",
        "codec/infos/test_packing.py::test_a_scalar_of_any_dtype_arrives",
        "codec/infos/test_packing.py::test_the_masks_and_object_arrays_of_a_vector_environment_arrive",
        "codec/infos/test_packing_limits.py::test_what_does_not_fit_becomes_a_text_and_the_rest_arrives",
    ],
    "docs/contracts.md / What differs: Exit code": [
        "cli/test_contract_diff.py::test_equal_contracts_exit_0",
        "cli/test_contract_diff.py::test_compatible_differences_exit_0",
        "cli/test_contract_diff.py::test_breaking_differences_exit_1",
        "cli/test_contract_diff.py::test_what_is_no_contract_exits_2",
    ],
    "docs/contracts.md / What breaks a client: Aspect": [
        "contract/test_comparison.py::test_the_page_lists_what_is_compared_in_spaces",
        "contract/test_comparison.py::test_a_difference_of_spaces_breaks_whom_the_page_says",
    ],
    "docs/contracts.md / What breaks a client: Field": [
        "contract/test_comparison.py::test_the_page_lists_what_is_compared_beside_spaces",
        "contract/test_comparison.py::test_a_difference_of_fields_breaks_whom_the_page_says",
    ],
    "docs/driving.md / Where the time goes: Sum of": [
        "client/test_stats.py::test_the_time_in_the_environment_is_the_environments",
    ],
    "docs/driving.md / What the client is: Attribute": [
        "client/test_connecting.py::test_a_client_is_the_environment_that_gymnasium_expects",
        "client/test_connecting.py::test_an_environment_that_is_not_registered_here_has_no_spec",
        "client/test_wrappers.py::test_the_client_is_unwrapped_as_an_environment_is",
        "docs/test_claims.py::test_the_generator_of_a_client_is_its_own",
    ],
    "docs/errors.md / When a server is made: You see": [
        "server/rpc/test_binding.py::test_a_wrong_address_is_a_typed_error",
        "server/rpc/test_binding.py::test_an_address_beyond_this_machine_is_refused_with_the_remedy",
        "server/rpc/test_binding.py::test_a_path_with_a_live_server_is_refused",
        "server/rpc/test_binding.py::test_a_port_with_another_program_is_refused",
        "test_contract.py::test_a_missing_method_is_named",
        "test_contract.py::test_a_class_is_refused_with_the_remedy",
        "server/sessions/test_sessions.py::test_what_cannot_be_served_in_sessions_is_refused",
        "test_contract.py::test_an_unsupported_space_is_refused_with_its_place",
        "security/test_certificates.py::test_a_file_that_cannot_be_used_is_named_with_the_remedy",
        "security/test_certificates.py::test_an_expired_certificate_is_told",
        "security/test_certificates.py::test_a_key_of_another_certificate_is_told",
        "security/test_tokens.py::test_what_no_header_carries_is_no_token",
        "server/test_construction.py::test_serve_options_are_checked_where_they_are_made",
        "server/test_lifecycle.py::test_a_server_is_started_once",
    ],
    "docs/driving.md / When the connection breaks: What happens": [
        "faults/test_resuming.py::test_behind_a_proxy_that_breaks_connections_an_episode_is_what_it_is_without",
        "faults/test_lost_sessions.py::test_a_client_that_is_not_to_reconnect_says_at_once_and_ever_after_that_it_broke",
        "faults/test_lost_sessions.py::test_a_deadline_that_passes_while_a_client_reconnects_keeps_the_session",
        "faults/test_lost_sessions.py::test_after_another_server_has_come_the_episode_is_gone_and_a_reset_begins_anew",
        "faults/test_lost_sessions.py::test_a_server_that_cannot_be_reached_again_is_given_up_after_the_time_it_keeps_sessions",
        "faults/test_lost_sessions.py::test_after_a_server_has_shut_down_a_reset_begins_anew_with_the_next",
    ],
    "docs/errors.md / When a client connects: You see": [
        "client/test_connecting.py::test_where_nobody_answers_the_deadline_holds",
        "client/test_connecting.py::test_a_server_that_never_started_is_nobody",
        "server/sessions/test_session.py::test_a_second_client_is_told_who_holds_the_environment_and_since_when",
        "server/sessions/test_session.py::test_a_client_whose_process_is_killed_frees_the_endpoint",
        "server/test_lifecycle.py::test_new_clients_are_refused_while_the_server_drains",
        "client/test_connecting.py::test_a_single_client_refuses_a_vector_endpoint_and_names_the_right_class",
        "client/test_connecting.py::test_a_vector_client_refuses_a_single_endpoint_and_names_the_right_class",
        "client/test_expected_contract.py::test_an_endpoint_that_breaks_what_is_expected_is_refused_with_the_differences",
        "docs/test_claims.py::test_a_client_does_not_end_a_server_that_does_not_allow_it",
        "security/test_strangers.py::test_a_client_is_told_what_to_do",
        "security/test_handshakes.py::test_a_client_is_told_why_and_what_to_do",
        "security/test_handshakes.py::test_a_server_without_tls_is_told",
        "security/test_reload.py::test_a_client_reads_its_files_whenever_it_connects",
        "security/test_tokens.py::test_a_token_is_not_shown_to_a_network_that_reads_it",
        "client/test_connecting.py::test_a_grpc_server_of_somebody_else_is_told_at_once",
        "vectors/test_asking_for_autoreset.py::test_a_mode_that_cannot_be_had_is_refused_when_connecting",
    ],
    "docs/errors.md / When an environment is driven: You see": [
        "server/sessions/test_calls.py::test_an_exception_of_the_environment_arrives_with_type_message_and_traceback",
        "server/sessions/test_calls.py::test_the_next_reset_works_after_an_exception",
        "client/test_arguments.py::test_a_wrong_action_is_refused_and_the_session_goes_on",
        "server/sessions/test_calls.py::test_a_result_that_the_contract_excludes_is_a_typed_error",
        "client/test_arguments.py::test_a_wrong_seed_is_refused_and_the_session_goes_on",
        "server/envs/test_legacy_gym.py::test_a_seed_that_it_cannot_be_given_is_refused_and_the_session_goes_on",
        "server/envs/test_legacy_gym.py::test_options_that_it_cannot_be_given_are_refused_and_the_session_goes_on",
        "client/test_timeouts.py::test_a_call_that_takes_too_long_is_a_timeout_error",
        "client/test_timeouts.py::test_after_a_timeout_a_step_is_refused_until_a_reset",
        "client/test_timeouts.py::test_two_threads_cannot_be_in_one_client_at_once",
        "server/sessions/test_session.py::test_a_closed_client_says_so",
        "server/test_lifecycle.py::test_a_client_of_a_server_that_was_killed_is_told",
        "docs/test_claims.py::test_a_client_of_a_server_that_ended_is_told",
        "faults/test_lost_sessions.py::test_after_another_server_has_come_the_episode_is_gone_and_a_reset_begins_anew",
        "faults/test_lost_sessions.py::test_a_client_that_is_not_to_reconnect_says_at_once_and_ever_after_that_it_broke",
        "faults/test_lost_sessions.py::test_a_client_does_not_begin_anew_with_another_environment",
        "faults/test_lost_sessions.py::test_a_timeout_tells_what_the_environment_is_doing_and_where",
        "server/models/test_isolation.py::test_a_crash_ends_the_requests_in_flight_and_the_states",
    ],
    "docs/errors.md / Without an error: You see": [
        "docs/test_claims.py::test_warn_delivers_and_tells_once",
        "docs/test_claims.py::test_anything_else_in_an_info_becomes_its_text_and_is_listed",
        "cli/test_asking.py::test_the_status_tells_the_call_that_the_environment_is_in",
        "transports/test_transports_page.py::test_another_user_shares_no_memory",
        "transports/test_transports_page.py::test_a_client_with_a_network_of_its_own_gets_the_stream_and_no_noise",
        "transports/test_transports_page.py::test_a_server_offers_what_the_page_says_it_offers",
        "client/test_stats.py::test_the_time_in_the_environment_is_the_environments",
        "client/test_values.py::test_loose_observations_arrive_as_declared",
        "cli/test_signals.py::test_a_second_signal_ends_a_server_whose_environment_is_stuck",
        "server/test_lifecycle.py::test_a_call_that_hangs_is_left_behind_after_the_drain_timeout",
        "server/test_lifecycle.py::test_a_close_that_hangs_is_left_behind_after_the_close_timeout",
        "docs/test_claims.py::test_same_step_gives_the_end_in_the_info",
        "docs/test_claims.py::test_the_registration_that_the_server_tells_is_in_the_contract",
    ],
    "docs/transports.md / Transports: Transport": [
        "transports/test_transports_page.py::test_here_a_client_shares_memory_whatever_the_address",
        "transports/test_transports_page.py::test_another_user_shares_no_memory",
        "transports/test_transports_page.py::test_the_secret_admits_one_peer_at_a_time",
        "transports/test_transports_page.py::test_a_server_offers_what_the_page_says_it_offers",
    ],
    "docs/transports.md / Compression: `compression=`": [
        "transports/compression/test_compression.py::test_the_page_lists_every_compression",
        "transports/compression/test_compression.py::test_every_value_is_that_of_the_environment",
    ],
    "docs/transports.md / What a client chooses: You ask for": [
        "transports/test_transports_page.py::test_a_client_gets_what_the_page_says_it_gets",
        "transports/test_transports_page.py::test_a_client_that_asks_for_nothing_goes_down_the_list",
    ],
    "docs/transports.md / What a server offers: Arguments of `EnvServer`": [
        "transports/test_transports_page.py::test_a_server_offers_what_the_page_says_it_offers",
    ],
    "docs/transports.md / What a client gets elsewhere: Where the client runs": [
        "transports/test_transports_page.py::test_here_a_client_shares_memory_whatever_the_address",
        "transports/test_transports_page.py::test_a_client_that_shares_only_the_network_shares_memory",
        "transports/test_transports_page.py::test_another_user_shares_no_memory",
        "transports/test_transports_page.py::test_a_client_with_a_network_of_its_own_gets_the_stream_and_no_noise",
    ],
    "docs/transports.md / When one side is killed: Killed": [
        "transports/test_transports_page.py::test_a_server_that_is_killed_between_calls_is_told",
        "transports/test_transports_page.py::test_a_server_that_is_killed_in_a_call_is_told",
        "server/sessions/test_session.py::test_a_client_whose_process_is_killed_frees_the_endpoint",
    ],
    "docs/architecture.md / The parts: Folder": [
        "docs/test_architecture.py::test_every_folder_of_the_page_exists",
    ],
    "docs/architecture.md / Which thread runs what: Thread": [
        "docs/test_architecture.py::test_every_thread_of_the_package_is_listed",
    ],
    "docs/architecture.md / Which lock guards what: Lock": [
        "docs/test_architecture.py::test_every_lock_of_the_package_is_listed",
    ],
    "docs/architecture.md / The states of a session: Event": [
        "server/sessions/test_state_machine.py::test_an_event_moves_a_session_as_the_table_says",
        "server/sessions/test_state_machine.py::test_the_architecture_page_has_this_table",
    ],
    "docs/implementing.md / From an address to a channel: Address": [
        "docs/test_implementing.py::test_an_address_is_a_target",
    ],
    "docs/implementing.md / After a failure: Code of the failure": [
        "docs/test_implementing.py::test_after_these_failures_the_stream_is_open",
        "docs/test_implementing.py::test_after_a_protocol_error_the_stream_ends",
        "docs/test_implementing.py::test_generation_0_is_refused_and_the_stream_ends",
        "docs/test_implementing.py::test_a_busy_server_answers_open_and_ends_the_stream",
        "docs/test_implementing.py::test_a_session_that_is_unknown_is_gone_and_the_stream_ends",
        "server/test_status.py::test_a_call_that_takes_too_long_is_answered_and_the_next_reset_waits",
        "server/envs/test_isolation.py::test_a_death_is_told_and_its_server_and_neighbours_live_on",
    ],
    "docs/readiness.md / Wait for an address: Exit code": [
        "cli/test_asking.py::test_wait_returns_when_the_server_serves",
        "cli/test_asking.py::test_wait_gives_up_in_time_where_nobody_is",
        "cli/test_asking.py::test_wrong_usage_exits_2",
    ],
    "docs/readiness.md / Health: Moment": [
        "docs/test_claims.py::test_health_follows_the_life_of_a_server",
    ],
    "docs/readiness.md / Probes: Question": [
        "deploy/test_kubernetes.py::test_the_probes_of_an_environment_pass_without_token_and_certificate",
        "server/test_health_port.py::test_health_is_the_same_at_both_addresses_until_the_end",
        "server/test_health_port.py::test_a_model_that_warms_up_is_alive_and_not_ready",
    ],
    "docs/readiness.md / Probes: Server": [
        "deploy/test_kubernetes.py::test_a_probe_of_the_documentation_passes",
        "deploy/test_containers.py::test_an_image_serves_and_passes_its_health_check",
        "deploy/test_systemd.py::test_the_unit_is_active_once_the_server_serves_and_ends_in_time",
    ],
    "docs/deployment.md / Deployment: You have": [
        "deploy/test_containers.py::test_an_image_serves_and_passes_its_health_check",
        "deploy/test_containers.py::test_the_compose_file_evaluates_a_model_in_an_environment",
        "deploy/test_kubernetes.py::test_a_job_runs_each_seed_once_and_its_servers_end_in_time",
        "deploy/test_systemd.py::test_a_connection_to_the_socket_reaches_the_server",
        "deploy/test_slurm.py::test_the_batch_script_evaluates_each_seed_once_and_leaves_nothing",
    ],
    "docs/readiness.md / End: What happens": [
        "cli/test_signals.py::test_in_a_call_which_finishes_first",
        "docs/test_claims.py::test_idleness_ends_the_command_with_exit_code_0",
        "cli/test_signals.py::test_a_drain_timeout_ends_a_server_whose_environment_is_in_c_code",
        "cli/test_signals.py::test_a_second_signal_ends_a_server_whose_environment_is_stuck",
        "cli/test_failures.py::test_an_unknown_id",
        "cli/test_failures.py::test_a_port_in_use_and_the_environment_is_closed",
        "cli/test_failures.py::test_wrong_usage_exits_2_before_anything_is_loaded",
    ],
    "docs/security.md / What is refused: You try to": [
        "security/test_transports.py::test_a_public_address_is_refused_unless_somebody_guards_it",
        "security/test_tokens.py::test_a_token_is_not_shown_to_a_network_that_reads_it",
        "security/test_strangers.py::test_every_method_refuses_who_does_not_show_the_token",
        "security/test_strangers.py::test_health_is_answered_without_a_token",
        "security/test_handshakes.py::test_a_client_is_told_why_and_what_to_do",
        "security/test_transports.py::test_the_direct_transport_admits_nobody_without_a_sessions_secret",
        "transports/test_transports_page.py::test_another_user_shares_no_memory",
        "server/rpc/test_binding.py::test_a_unix_socket_is_served",
        "server/openpi/test_gateway.py::test_an_address_is_checked_as_every_other",
        "server/openpi/test_gateway.py::test_without_the_token_nothing_is_answered_but_health",
    ],
    "docs/security.md / Who can do what: Who": [
        "security/test_strangers.py::test_a_stranger_learns_nothing_about_the_host",
        "security/test_strangers.py::test_health_is_answered_without_a_token",
        "security/test_strangers.py::test_a_client_with_the_token_may_ask_for_everything",
        "security/test_strangers.py::test_a_server_may_have_a_client_connect_elsewhere",
        "security/test_handshakes.py::test_a_client_is_told_why_and_what_to_do",
        "security/test_handshakes.py::test_health_needs_a_certificate_where_everything_does",
        "security/test_transports.py::test_the_direct_transport_is_encrypted_where_the_server_has_tls",
        "security/test_transports.py::test_a_client_with_tls_shows_its_secret_to_no_other_server",
        "security/test_transports.py::test_nothing_readable_crosses_where_there_is_tls",
        "transports/test_transports_page.py::test_another_user_shares_no_memory",
        "docs/test_claims.py::test_a_client_does_not_end_a_server_that_does_not_allow_it",
        "vectors/test_attributes.py::test_nothing_is_exposed_by_itself",
    ],
    CLIENT_LIMITS: [
        "security/test_client_limits.py::test_a_seed_beyond_the_limit_reaches_no_environment",
        "security/test_client_limits.py::test_a_server_refuses_such_a_seed_of_a_client_that_does_not",
        "security/test_client_limits.py::test_an_argument_of_too_many_values_is_refused_unmade",
        "security/test_client_limits.py::test_a_long_name_of_a_client_is_cut",
        "security/test_client_limits.py::test_a_session_reports_so_many_deviations",
        "transports/compression/test_compression.py::test_a_damaged_request_ends_its_session_and_no_other",
    ],
    CONTRACT_COSTS: [
        "security/test_costly_contracts.py::test_a_contract_that_costs_too_much_is_refused_unmade",
        "security/test_costly_contracts.py::test_a_space_counts_as_the_page_says",
        "security/test_costly_contracts.py::test_a_large_message_is_refused_before_it_is_read",
        "security/test_costly_contracts.py::test_the_number_that_the_error_names_is_enough",
        "security/test_costly_contracts.py::test_the_commands_show_a_costly_contract",
    ],
    SERVER_LIMITS: [
        "transports/grpc/test_pieces.py::test_a_request_of_any_size_arrives_whole",
        "security/test_client_limits.py::test_an_info_of_too_many_values_is_refused_unmade",
        "security/test_client_limits.py::test_a_client_refuses_an_info_of_too_many_values_and_says_why",
        "security/test_client_limits.py::test_a_client_refuses_an_opening_of_too_many_bytes",
        "security/test_client_limits.py::test_a_client_refuses_more_steps_than_it_has_asked_for",
        "security/test_client_limits.py::test_a_client_reads_no_more_holders_than_a_server_names",
        "security/test_client_limits.py::test_a_client_keeps_so_many_notices",
        "client/test_offers.py::test_a_client_looks_at_a_few_offers",
        "client/test_offers.py::test_one_deadline_holds_for_all_of_connecting",
    ],
    FULL: [
        "faults/test_no_descriptors.py::test_no_server_is_made_without_descriptors_and_none_is_lost",
        "faults/test_no_descriptors.py::test_a_server_that_cannot_be_started_without_descriptors_is_as_before",
        "faults/test_no_descriptors.py::test_a_client_that_cannot_connect_without_descriptors_leaves_the_endpoint_free",
        "faults/test_no_descriptors.py::test_a_client_whose_connection_breaks_resumes_once_a_descriptor_is_free",
        "faults/test_no_descriptors.py::test_a_reset_without_descriptors_says_so_and_the_next_one_opens_another_session",
        "faults/test_no_descriptors.py::test_a_server_without_descriptors_accepts_once_one_is_free",
        "faults/test_no_descriptors.py::test_a_supervisor_that_cannot_begin_without_descriptors_begins_later",
        "faults/test_no_descriptors.py::test_a_worker_that_cannot_start_is_refused_and_a_later_one_served",
        "faults/test_no_descriptors.py::test_without_shared_memory_a_session_uses_another_transport",
        "server/test_faults_beside_calls.py::test_a_session_that_is_lost_while_no_descriptor_is_free_gives_its_place_back",
        "server/test_faults_beside_calls.py::test_no_memory_for_a_message_ends_the_session_and_the_next_client_is_served",
        "server/test_faults_beside_calls.py::test_a_request_beyond_the_memory_of_a_server_ends_its_own_session_only",
        "server/test_endings.py::test_a_start_without_enough_threads_closes_the_environment_and_frees_the_address",
    ],
    STRANGERS: [
        "security/test_health.py::test_watches_beyond_the_limit_are_refused_and_checks_are_answered",
        "security/test_health.py::test_calls_without_a_message_end_for_newer_ones",
        "security/test_health.py::test_checks_that_nobody_reads_end_for_newer_ones",
        "security/test_health.py::test_a_connection_has_a_limit_of_calls",
        "security/test_health.py::test_a_strangers_messages_take_little_memory",
        "transports/grpc/test_pieces.py::test_a_request_of_any_size_arrives_whole",
    ],
    "docs/ray.md / Fleets on Ray: Argument": [
        "ray_fleets/test_fleet.py::test_64_environments_over_four_nodes_are_placed_evenly_and_step_as_local_ones",
        "ray_fleets/test_fleet.py::test_packed_servers_share_a_node_and_have_the_environment_that_is_asked_for",
        "ray_fleets/test_fleet.py::test_resources_that_others_have_are_waited_for_and_then_named",
    ],
    "docs/ray.md / Fleets on Ray: What is wrong": [
        "ray_fleets/test_losses.py::test_a_program_that_is_killed_leaves_no_process_and_no_socket_behind",
        "ray_fleets/test_fleet.py::test_resources_that_nobody_has_are_refused_at_once_with_what_there_is",
        "ray_fleets/test_fleet.py::test_resources_that_others_have_are_waited_for_and_then_named",
        "ray_fleets/test_fleet.py::test_arguments_are_refused_before_anything_is_started",
        "ray_fleets/test_fleet.py::test_an_environment_that_cannot_be_made_is_reported_with_its_node_and_traceback",
        "ray_fleets/test_fleet.py::test_a_process_that_dies_of_making_the_environment_is_reported_at_once",
        "ray_fleets/test_fleet.py::test_servers_of_different_contracts_are_refused",
        "ray_fleets/test_fleet.py::test_a_certificate_that_the_program_does_not_trust_is_named_with_its_node",
        "ray_fleets/test_fleet.py::test_certificates_that_are_not_on_a_node_are_named_with_it",
    ],
    "docs/ray.md / What a step costs: What is stepped": [
        "benchmarks/test_published.py::test_the_numbers_of_fleets_on_ray_are_those_of_the_raw_results",
    ],
    "docs/ray.md / When a server is lost: What is lost": [
        "ray_fleets/test_losses.py::test_a_killed_server_ends_only_the_episodes_of_its_own_environments",
        "ray_fleets/test_losses.py::test_an_actor_that_is_killed_for_good_is_started_again",
        "ray_fleets/test_losses.py::test_the_servers_of_a_node_that_is_killed_go_on_elsewhere",
        "ray_fleets/test_hosts.py::test_a_fleet_over_hosts_steps_over_tls_survives_a_silent_host_and_ends_with_its_program",
    ],
    "docs/serving.md / What can be served: You pass": [
        "docs/test_claims.py::test_a_single_environment_is_driven_with_remote_env",
        "docs/test_claims.py::test_sub_envs_are_driven_with_remote_vector_env",
        "trainers/test_sb3.py::test_a_vec_env_is_served_as_a_vector_environment",
        "trainers/test_envpool.py::test_its_steps_are_as_in_process",
        "server/sessions/test_sessions.py::test_a_callable_alone_gives_one_client_after_the_other_a_fresh_environment",
    ],
    "docs/serving.md / Where it is served: Argument": [
        "server/rpc/test_binding.py::test_every_form_of_an_ipv4_address_is_served",
        "server/rpc/test_binding.py::test_every_form_of_an_ipv6_address_is_served",
        "server/rpc/test_binding.py::test_nothing_given_is_a_free_port_of_the_loopback",
        "server/rpc/test_binding.py::test_host_and_port_are_another_way_to_say_it",
        "server/rpc/test_binding.py::test_a_port_alone_is_on_the_loopback",
        "server/rpc/test_binding.py::test_a_unix_socket_is_served",
        "server/rpc/test_binding.py::test_a_relative_path_is_made_absolute",
        "test_address.py::test_refuses_what_names_no_endpoint",
    ],
    "docs/serving.md / From start to end: Call": [
        "server/sessions/test_calls.py::test_with_serve_all_calls_come_on_the_calling_thread",
        "server/sessions/test_calls.py::test_all_calls_come_from_one_thread_that_is_no_client_thread",
        "server/test_lifecycle.py::test_start_returns_and_wait_tells_whether_the_server_has_ended",
        "server/test_lifecycle.py::test_the_call_in_flight_finishes_and_its_answer_arrives",
        "server/test_lifecycle.py::test_a_shutdown_from_several_threads_at_once_is_one",
        "server/test_lifecycle.py::test_the_context_manager_starts_and_shuts_down",
    ],
    SERVE_OPTIONS: [
        "docs/test_claims.py::test_a_client_ends_a_server_that_allows_it",
        "docs/test_claims.py::test_a_client_that_asks_nothing_is_idle",
        "server/test_lifecycle.py::test_a_call_that_hangs_is_left_behind_after_the_drain_timeout",
        "server/test_lifecycle.py::test_a_close_that_hangs_is_left_behind_after_the_close_timeout",
        "server/sessions/test_resuming.py::test_a_kept_session_is_ended_after_its_time_and_says_so",
        "server/sessions/test_sessions.py::test_a_session_of_which_nothing_is_asked_ends_and_its_client_is_told",
        "server/test_status.py::test_a_call_that_takes_too_long_is_answered_and_the_next_reset_waits",
    ],
    "docs/serving.md / Limits: What": [
        "server/sessions/test_sessions.py::test_where_all_places_are_taken_the_next_is_told_by_whom",
        "server/sessions/test_resuming.py::test_a_kept_session_is_ended_after_its_time_and_says_so",
        "server/sessions/test_sessions.py::test_a_session_of_which_nothing_is_asked_ends_and_its_client_is_told",
        "server/test_status.py::test_a_call_that_takes_too_long_is_answered_and_the_next_reset_waits",
        "server/rpc/test_limits.py::test_a_message_that_is_too_long_is_refused_and_the_server_lives",
        "server/rpc/test_limits.py::test_more_calls_at_once_than_a_server_answers_are_refused",
        "docs/test_claims.py::test_anything_else_in_an_info_becomes_its_text_and_is_listed",
    ],
    "docs/evaluating.md / What it takes: `policy`": [
        "evaluation/test_evaluate.py::test_the_result_does_not_depend_on_how_many_episodes_run_at_once",
        "evaluation/test_evaluate.py::test_a_policy_with_state_begins_each_episode",
        "evaluation/test_evaluate.py::test_a_served_model_has_a_session_for_each_episode_that_runs",
        "evaluation/test_evaluate.py::test_chunks_are_a_policy_with_state",
    ],
    "docs/evaluating.md / What it takes: `envs`": [
        "evaluation/test_evaluate.py::test_vector_and_served_environments_have_the_same_episodes",
        "evaluation/test_evaluate.py::test_an_environment_of_the_caller_stays_open",
        "evaluation/test_evaluate.py::test_tasks_have_their_names_and_the_same_seeds",
    ],
    "docs/recording.md / Where it can be switched on: Where": [
        "recording/test_recorder.py::test_each_call_is_kept_bit_for_bit",
        "server/envs/test_recording.py::test_each_environment_has_its_recording",
        "evaluation/test_recorded.py::test_each_environment_of_an_evaluation_is_recorded",
    ],
    "docs/recording.md / In other formats: `--to`": [
        "exporting/test_export.py::test_a_data_set_of_minari_has_the_same_bits",
        "lerobot_data/test_lerobot.py::test_a_data_set_of_lerobot_has_the_same_bits",
        "exporting/test_export.py::test_a_table_reads_to_the_same_bits",
        "exporting/test_export.py::test_a_video_has_a_frame_for_each_observation",
    ],
    "docs/replaying.md / What is compared: Case": [
        "replaying/test_replay.py::test_a_tolerance_lets_small_differences_pass",
        "replaying/test_replay.py::test_an_episode_without_a_seed_is_replayed_and_marked",
        "replaying/test_replay.py::test_the_wall_clock_is_not_compared_and_is_listed",
        "recording/test_recorder.py::test_a_file_that_was_cut_is_read_as_far_as_it_is_whole",
        "recording/test_recorder.py::test_a_digest_keeps_no_observation_and_still_tells_them_apart",
    ],
    "docs/trainers.md / With your trainer: What a trainer calls": [
        "trainers/test_learning.py::test_a_learner_learns_the_same_weights_in_a_vec_env",
    ],
    "docs/trainers.md / With your trainer: Trainer": [
        "trainers/test_learning.py::test_a_learner_learns_the_same_weights",
        "trainers/test_learning.py::test_a_learner_learns_the_same_weights_in_a_vec_env",
        "trainers/test_examples.py::test_a_trainer_learns_the_same_weights_and_fills_no_log",
        "trainers/test_examples.py::test_a_dataset_of_minari_is_the_one_that_is_recorded_locally",
        "trainers_all/test_examples.py::test_d3rlpy_learns_the_same_weights_online_and_offline",
        "trainers_all/test_examples.py::test_rllib_learns_the_same_weights_from_a_vector_environment",
        "trainers_all/test_pufferlib.py::test_emulated_observations_are_those_of_the_environment_in_this_process",
    ],
    "docs/typed-clients.md / What the types are: Space": [
        "typegen/test_typegen.py::test_the_types_are_those_of_the_page",
        "typegen/test_typegen.py::test_mypy_accepts_every_module_and_refuses_all_misuse",
        "typegen/test_typegen.py::test_pyright_accepts_every_module_and_refuses_all_misuse",
    ],
    "docs/vectors.md / Vector environments: Value": [
        "docs/test_claims.py::test_sub_envs_are_driven_with_remote_vector_env",
        "test_sameness.py::test_all_steps_of_five_sub_envs_are_the_same",
    ],
    "docs/vectors.md / Autoreset: Mode": [
        "docs/test_claims.py::test_next_step_ignores_the_action_and_gives_no_reward",
        "docs/test_claims.py::test_same_step_gives_the_end_in_the_info",
        "docs/test_claims.py::test_disabled_resets_the_sub_envs_of_the_mask",
    ],
    "docs/vectors.md / Autoreset: The environment": [
        "vectors/test_asking_for_autoreset.py::test_a_sync_vector_env_runs_whichever_mode_a_client_asks_for",
        "vectors/test_lists_of_envs.py::test_sub_envs_of_a_list_run_whichever_mode_a_client_asks_for",
        "vectors/test_asking_for_autoreset.py::test_same_step_is_made_of_disabled_element_for_element",
        "vectors/test_asking_for_autoreset.py::test_a_mode_that_cannot_be_had_is_refused_when_connecting",
        "vectors/test_asking_for_autoreset.py::test_the_own_mode_may_be_asked_for",
    ],
    "docs/vectors.md / Seeds: `seed=`": [
        "docs/test_claims.py::test_an_integer_seeds_the_sub_envs_one_after_the_other",
        "vectors/test_seeds.py::test_seeds_of_sub_envs_reach_them",
    ],
    "docs/vectors.md / When a server is lost: What": [
        "vectors/test_losses.py::test_a_killed_server_ends_only_its_own_episode_and_is_replaced_in_time",
        "vectors/test_losses.py::test_a_replaced_sub_env_is_reset_as_each_autoreset_mode_has_it",
        "vectors/test_losses.py::test_the_same_address_is_used_again_when_a_server_is_back_there",
        "vectors/test_losses.py::test_several_losses_take_as_long_as_one_and_seeds_follow_from_the_last_ones",
        "vectors/test_losses.py::test_a_server_of_another_contract_is_no_replacement",
        "vectors/test_losses.py::test_nothing_to_replace_with_is_an_error_that_names_what_was_tried",
    ],
    "docs/vectors.md / Where the addresses stand: `address`": [
        "client/test_address_sources.py::test_a_file_may_grow_and_shrink_between_episodes",
        "client/test_address_sources.py::test_servers_of_a_folder_are_awaited_and_replace_each_other",
        "client/test_address_sources.py::test_every_address_of_a_name_is_a_server",
    ],
    "docs/vectors.md / Where the addresses stand: `num_envs`": [
        "client/test_address_sources.py::test_a_file_may_grow_and_shrink_between_episodes",
        "client/test_address_sources.py::test_servers_of_a_folder_are_awaited_and_replace_each_other",
        "client/test_address_sources.py::test_too_few_servers_are_an_error_that_counts_them",
    ],
    "docs/stability.md / Stability: Label": [
        "docs/test_stability_page.py::test_the_labels_promise_what_the_generated_pages_say",
    ],
}

COMPARED = {
    SERVER_ARGUMENTS,
    CLIENT_ARGUMENTS,
    SERVER_TLS,
    CLIENT_TLS,
    SAFETY,
    INFO_LIMITS,
    COMMANDS,
    *(OPTIONS.format(name) for name in main.commands),
}
ONLY_LINKS = {"docs/index.md / Where to go from here: You want to"}


def defaults(callable_: Any) -> dict[str, Any]:
    parameters = inspect.signature(callable_).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def test_the_serve_options_are_listed_with_their_defaults() -> None:
    listed = {code(name)[0]: code(default)[0] for name, default, _ in ROWS[SERVE_OPTIONS]}
    assert listed == {
        field.name: repr(field.default) for field in dataclasses.fields(rlmesh.ServeOptions)
    }


def test_the_further_arguments_of_a_server_are_listed_with_their_defaults() -> None:
    listed = {code(name)[0]: default for name, default, _ in ROWS[SERVER_ARGUMENTS]}
    found = defaults(rlmesh.EnvServer)
    assert set(listed) == set(found) - {"env", "address", "host", "port", "path"}
    assert listed["expose"] == f"`{found['expose']!r}`"
    assert listed["nan"] == f'`"{found["nan"]}"`'
    for name in (
        *("tls", "insecure", "transports", "direct", "sessions"),
        *("num_envs", "workers", "on_crash"),
    ):
        assert listed[name] == f"`{found[name]!r}`"


def test_the_arguments_of_a_client_are_listed_with_their_defaults() -> None:
    listed = {code(name)[0]: default for name, default, _ in ROWS[CLIENT_ARGUMENTS]}
    found = defaults(rlmesh.RemoteEnv)
    assert listed.pop("address") == "required"
    assert found.pop("address") is inspect.Parameter.empty
    assert listed == {name: f"`{value!r}`" for name, value in found.items()}
    assert set(defaults(rlmesh.RemoteVectorEnv)) - set(listed) == {
        "address",
        "autoreset",
        "batch_size",
        "num_envs",
        "on_loss",
    }


@pytest.mark.parametrize(
    ("table", "tls"), [(SERVER_TLS, rlmesh.ServerTLS), (CLIENT_TLS, rlmesh.ClientTLS)]
)
def test_the_settings_of_tls_are_listed_with_their_defaults(table: str, tls: Any) -> None:
    listed = {code(name)[0]: default for name, default, _ in ROWS[table]}
    missing = dataclasses.MISSING
    assert listed == {
        field.name: "required" if field.default is missing else f"`{field.default!r}`"
        for field in dataclasses.fields(tls)
    }


def test_the_arguments_that_keep_strangers_out_are_listed_with_their_defaults() -> None:
    listed = {(code(name)[0], of): default for name, of, default, _ in ROWS[SAFETY]}
    server, client = defaults(rlmesh.EnvServer), defaults(rlmesh.RemoteEnv)
    for name in ("token", "tls", "insecure"):
        assert server[name] == client[name] == defaults(rlmesh.RemoteVectorEnv)[name]
    assert listed == {
        ("token", "both"): "`RLMESH_TOKEN`, else none",
        ("tls", "both"): f"`{server['tls']!r}`",
        ("insecure", "`EnvServer`"): f"`{server['insecure']!r}`",
        ("insecure", "a client"): f"`{client['insecure']!r}`",
    }


def test_the_limits_of_an_info_are_listed() -> None:
    limits = PackingLimits()
    assert [value for _, value in ROWS[INFO_LIMITS]] == [
        str(limits.max_depth),
        f"{limits.max_bytes // 2**20} MiB",
        f"{MAX_ANSWER_VALUES}; more are [refused](security.md#what-a-stranger-may-cost)",
        f"{limits.max_text} characters",
        str(limits.max_listed),
    ]


def test_every_command_is_listed() -> None:
    # What stands in capitals is an argument.
    listed = {
        " ".join(word for word in code(usage)[0].split()[1:] if not word.isupper())
        for usage, _ in ROWS[COMMANDS]
    }
    assert listed == main.commands.keys()


@pytest.mark.parametrize("name", main.commands)
def test_the_options_of_a_command_are_listed(name: str) -> None:
    listed = {code(option)[0].split()[0] for option, _ in ROWS[OPTIONS.format(name)]}
    found = {
        max(parameter.opts, key=len)
        for parameter in main.commands[name].params
        if isinstance(parameter, click.Option)
    }
    assert listed == found


@pytest.mark.parametrize(
    ("name", "option", "default"),
    [
        ("contract", "--timeout", "5"),
        ("contract diff", "--timeout", "5"),
        ("typegen", "--timeout", "5"),
        ("serve-model", "--sessions", "64"),
        ("serve-model", "--batch-wait-seconds", "0"),
        ("status", "--timeout", "5"),
        ("wait", "--timeout", "30"),
        ("serve", "--nan", "reject"),
        ("demo", "--episodes", "100"),
        ("evaluate", "--episodes", "100"),
        ("evaluate", "--first-seed", "0"),
        ("evaluate", "--success", "end"),
        ("evaluate", "--latency", "frozen"),
        ("evaluate", "--timeout", "5"),
        ("demo", "--max-steps", "10000"),
        ("demo", "--env", "CartPole-v1"),
    ],
)
def test_the_default_of_an_option_is_told(name: str, option: str, default: str) -> None:
    [says] = [says for usage, says in ROWS[OPTIONS.format(name)] if option in usage]
    [found] = [p.default for p in main.commands[name].params if option in p.opts]
    assert f"{default}` by default" in says or f"{default} by default" in says
    assert str(found) in (default, f"{default}.0")


def test_what_a_stranger_may_cost_is_listed() -> None:
    assert [limit for _, limit, _ in ROWS[STRANGERS]] == [
        str(MAX_WATCHES),
        str(MAX_ANSWERS),
        str(MAX_STREAMS),
        f"{PIECE_BYTES >> 20} MiB, packed and unpacked",
    ]


def test_what_a_client_may_send_is_listed() -> None:
    assert [limit for _, limit, _ in ROWS[CLIENT_LIMITS]] == [
        f"{MAX_SEED_BITS} bits",
        str(MAX_ARGUMENT_VALUES),
        f"{LONGEST_NAME} characters",
        str(MAX_REPORTED),
        f"{MAX_COMPRESSED_REQUEST_BYTES >> 20} MiB",
    ]


def test_what_a_server_may_send_is_listed() -> None:
    assert [limit for _, limit, _ in ROWS[SERVER_LIMITS]] == [
        f"{MAX_MESSAGE_BYTES >> 30} GiB",
        str(MAX_ANSWER_VALUES),
        f"{MAX_SMALL_ANSWER_BYTES >> 20} MiB",
        "one for each action",
        str(MAX_HOLDERS),
        str(MAX_OFFERS),
        str(MAX_NOTICES),
    ]
    page = " ".join((ROOT / "docs/security.md").read_text().split())
    assert f"A name has at most {LONGEST_NAME} characters there" in page
    assert f"another text at most {LONGEST_TEXT}; a cut" in page


def test_what_a_full_machine_refuses_is_listed() -> None:
    assert f"Unless {MIN_FREE_DESCRIPTORS} are free" in ROWS[FULL][0][1]
    page = " ".join((ROOT / "docs/endurance.md").read_text().split())
    kept = rlmesh.ServeOptions().resume_timeout_seconds
    assert f"(`resume_timeout_seconds`, {kept:g} seconds by default)" in page


@pytest.mark.parametrize("page", PAGES)
def test_every_error_that_a_page_names_exists(page: str) -> None:
    named = set(re.findall(r"`(?:rlmesh\.)?([A-Z][A-Za-z]+Error)\b", (ROOT / page).read_text()))
    built_in = {"AttributeError", "ConnectionError", "OSError"}
    assert named - built_in <= set(errors.__all__)


def test_every_error_of_a_user_is_told_by_symptom() -> None:
    cells = [cell for rows in tables("docs/errors.md").values() for row in rows for cell in row]
    bases = {"RlmeshError", "NonconformingValueError", "EndpointError"}
    assert set(errors.__all__) - bases == set(
        re.findall(r"`([A-Z]\w+(?:Error|Crashed))`", " ".join(cells))
    )


def test_every_table_is_held_by_tests() -> None:
    assert HELD_BY.keys() | COMPARED | ONLY_LINKS == ROWS.keys()


@pytest.mark.parametrize("test", sorted({test for tests in HELD_BY.values() for test in tests}))
def test_a_test_that_holds_a_table_exists(test: str) -> None:
    module, _, name = test.partition("::")
    assert f"\ndef {name}(" in (ROOT / "tests" / module).read_text()
