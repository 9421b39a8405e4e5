"""Sparkplug B's protocol-buffer messages, described in code: the few fields that are read, by their numbers.

Source: the field table of ``sparkplug_b.proto`` in the Sparkplug specification. Texts are declared as bytes, which look
the same on the wire, so that a text that is not UTF-8 can be refused by its own reason.
"""

from typing import Any

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_F = FieldDescriptorProto
_PACKAGE = "village.sparkplug_b"
_PAYLOAD = (("timestamp", 1, _F.TYPE_UINT64), ("seq", 3, _F.TYPE_UINT64), ("uuid", 4, _F.TYPE_BYTES))
_METRIC = (
    ("name", 1, _F.TYPE_BYTES),
    ("alias", 2, _F.TYPE_UINT64),
    ("timestamp", 3, _F.TYPE_UINT64),
    ("datatype", 4, _F.TYPE_UINT32),
    ("is_historical", 5, _F.TYPE_BOOL),
    ("is_null", 7, _F.TYPE_BOOL),
)
_VALUE = (
    ("int_value", 10, _F.TYPE_UINT32),
    ("long_value", 11, _F.TYPE_UINT64),
    ("float_value", 12, _F.TYPE_FLOAT),
    ("double_value", 13, _F.TYPE_DOUBLE),
    ("boolean_value", 14, _F.TYPE_BOOL),
    ("string_value", 15, _F.TYPE_BYTES),
)


def _classes() -> tuple[Any, Any]:
    file = FileDescriptorProto(name="village/sparkplug_b.proto", package=_PACKAGE, syntax="proto2")
    metric = DescriptorProto(name="Metric")
    payload = DescriptorProto(name="Payload")
    for message, table in ((metric, _METRIC), (payload, _PAYLOAD)):
        for name, number, kind in table:
            message.field.add(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL)
    metric.oneof_decl.add(name="value")
    for name, number, kind in _VALUE:
        metric.field.add(name=name, number=number, type=kind, label=_F.LABEL_OPTIONAL, oneof_index=0)
    payload.field.add(
        name="metrics", number=2, type=_F.TYPE_MESSAGE, label=_F.LABEL_REPEATED, type_name=f".{_PACKAGE}.Metric"
    )
    file.message_type.extend((metric, payload))
    pool = DescriptorPool()
    pool.Add(file)
    return (
        GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Metric")),
        GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.Payload")),
    )


Metric, Payload = _classes()
