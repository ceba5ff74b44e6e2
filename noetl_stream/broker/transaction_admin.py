"""The requests of administrators about transactions (KIP-664): which there are, and what each producer has open."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import timedelta
from typing import Any

from kio.schema.errors import ErrorCode

from noetl_stream.broker.clock import as_datetime, wall_clock
from noetl_stream.broker.protocol import Fields, Request
from noetl_stream.broker.topics import Topics
from noetl_stream.broker.transaction import Transaction, TransactionState
from noetl_stream.broker.transactions import Transactions
from noetl_stream.commitlog.refusal import Refused


class TransactionAdmin:
    """Answers ListTransactions, DescribeTransactions and DescribeProducers."""

    def __init__(self, topics: Topics, transactions: Transactions) -> None:
        self._topics, self._transactions = topics, transactions

    async def list(self, request: Request) -> Fields:
        body = request.body
        known = {state.value for state in TransactionState}
        return {
            "error_code": ErrorCode.none,
            "unknown_state_filters": [state for state in body.state_filters if state not in known],
            "transaction_states": [
                {
                    "transactional_id": transaction.transactional_id,
                    "producer_id": transaction.producer_id,
                    "transaction_state": transaction.state,
                }
                for transaction in self._transactions
                if self._is_wanted(transaction, body)
            ],
        }

    def _is_wanted(self, transaction: Transaction, body: Any) -> bool:
        shortest, pattern = (
            getattr(body, "duration_filter", -1),
            getattr(body, "transactional_id_pattern", None),
        )
        age = wall_clock() - transaction.began if transaction.began >= 0 else -1
        return (
            (not body.state_filters or transaction.state in body.state_filters)
            and (not body.producer_id_filters or transaction.producer_id in body.producer_id_filters)
            and (shortest < 0 or age >= shortest)
            and (not pattern or re.fullmatch(pattern, transaction.transactional_id) is not None)
        )

    async def describe(self, request: Request) -> Fields:
        return {"transaction_states": [self._description(name) for name in request.body.transactional_ids]}

    def _description(self, transactional_id: str) -> Fields:
        transaction = self._transactions.find(transactional_id)
        if transaction is None:
            return _unknown(transactional_id)
        return {
            "error_code": ErrorCode.none,
            "transactional_id": transactional_id,
            "transaction_state": transaction.state,
            "transaction_timeout": timedelta(milliseconds=transaction.timeout_ms),
            "transaction_start_time": as_datetime(transaction.began),
            "producer_id": transaction.producer_id,
            "producer_epoch": transaction.epoch,
            "topics": _by_topic(transaction),
        }

    async def describe_producers(self, request: Request) -> Fields:
        return {
            "topics": [
                {
                    "name": topic.name,
                    "partitions": [self._producers(topic.name, index) for index in topic.partition_indexes],
                }
                for topic in request.body.topics
            ]
        }

    def _producers(self, topic: str, index: int) -> Fields:
        try:
            partition = self._topics.partition(topic, index)
        except Refused as refused:
            return {
                "partition_index": index,
                "error_code": refused.code,
                "error_message": refused.reason,
                "active_producers": [],
            }
        return {
            "partition_index": index,
            "error_code": ErrorCode.none,
            "error_message": None,
            "active_producers": [
                {
                    "producer_id": producer.producer_id,
                    "producer_epoch": producer.epoch,
                    "last_sequence": producer.last_sequence,
                    "last_timestamp": producer.last_timestamp,
                    "coordinator_epoch": 0,
                    "current_txn_start_offset": producer.transaction_start,
                }
                for producer in partition.producers()
            ],
        }


def _unknown(transactional_id: str) -> Fields:
    return {
        "error_code": ErrorCode.transactional_id_not_found,
        "transactional_id": transactional_id,
        "transaction_state": "",
        "transaction_timeout": timedelta(0),
        "transaction_start_time": as_datetime(0),
        "producer_id": -1,
        "producer_epoch": -1,
        "topics": [],
    }


def _by_topic(transaction: Transaction) -> list[Fields]:
    partitions: dict[str, list[int]] = defaultdict(list)
    for topic, index in sorted(transaction.partitions):
        partitions[topic].append(index)
    return [{"topic": topic, "partitions": indexes} for topic, indexes in partitions.items()]
