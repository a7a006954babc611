"""Large inputs: megabytes, compressed, dictionary-encoded, of what attackers send and of seeds."""

import math
import random
from collections.abc import Callable, Sequence

from tests.hostile.attackers import arrow_bodies as arrow
from tests.hostile.attackers import compressed_bodies as compressed
from tests.hostile.attackers import json_bodies as json
from tests.hostile.attackers import npy_bodies as npy
from tests.hostile.attackers import protocol_v2 as v2
from tests.hostile.attackers import table_bodies as tables
from tests.hostile.fuzzing.mutations import mutated, mutations

Make = Callable[[float], bytes]

SCALES = (1e-4, 0.06)
"""Of the makers' full size: some kilobytes to some megabytes."""

MAX_HEAD_BYTES = 2**16
"""No parser of heads gets more than a head may have."""


def _v2(make: Make) -> Make:
    return lambda scale: b"\n" + make(scale)


MAKERS: dict[str, tuple[Make, ...]] = {
    "json": (
        json.empty_lists, json.deep_lists, json.deep_objects, json.one_wide_row, json.many_rows,
        json.ragged_at_the_end, json.strings, json.true_and_false, json.long_number,
        json.long_fraction, json.long_string, json.spaces, json.invalid_at_the_end,
        json.unknown_keys, json.one_key_again, json.objects_as_rows, json.context_of_names,
        tables.distinct_keys, tables.mixed_types, tables.distinct_values, tables.wide_rows,
    ),
    "npy": (
        *npy.of("?", "S1", "S64", "<i1", "<f2", "<f4", ">f8", "<U1", "<c8", "<M8[s]", "V1"),
        npy.wide_text, npy.long_header, npy.deep_header, npy.long_shape, npy.many_fields,
        npy.rows_of_limit, npy.fortran,
    ),
    "arrow": (
        *(lambda scale, codec=codec: arrow.compressed(codec, scale) for codec in ("zstd", "lz4")),
        arrow.compressed_text, arrow.many_compressed, arrow.dictionary, arrow.dictionary_of_lists,
        arrow.dictionary_context, arrow.aliased, arrow.list_views, arrow.string_views, arrow.nulls,
        arrow.run_ends, arrow.empty_batches, arrow.many_columns, arrow.long_metadata,
        arrow.of_limit, arrow.rows_of_limit, arrow.feather,
    ),
    "csv": (
        tables.one_line, tables.csv_columns, tables.open_quote, tables.open_quote_of_one_line,
        tables.distinct_cells, tables.csv_of(b",,,\n"), tables.csv_of(b'"a""b","\n",x,y\n'),
    ),
    "parquet": (
        tables.equal_texts, tables.nothing, tables.row_groups, tables.parquet_columns,
        tables.huge_footer, tables.many_fields, tables.empty_pages, tables.parquet_of_limit,
    ),
    "v2 infer": tuple(
        _v2(make)
        for make in (
            v2.flat_data, v2.nested_data, v2.bytes_data, v2.many_inputs, v2.many_outputs,
            v2.many_parameters, v2.long_id, v2.many_sides, v2.long_integers,
        )
    ),
    "v2 raw": (v2.raw_rows, v2.raw_of_limit),
    "v2 repository": (json.unknown_keys, json.deep_objects),
    "gzip": (
        compressed.zeros, compressed.lists, compressed.members, compressed.member_bombs,
        compressed.trailing_zeros, compressed.long_name, compressed.bomb_in_bomb,
    ),
    "deflate": (compressed.rows,),
}  # fmt: skip
"""By the beginning of a parser's name."""


def large_input(chance: random.Random, parser: str, seeds: Sequence[bytes]) -> bytes:
    """An input of any size up to some megabytes; half of them are damaged too."""
    found = next((m for start, m in MAKERS.items() if parser.startswith(start)), None)
    if found is None:
        piece = mutated(chance, seeds, mutations(parser))
        return (piece + chance.choice((b"", b",", b"&", b"\0")) or b"a")[:64] * 1000 + piece
    low, high = map(math.log, SCALES)
    data = chance.choice(found)(math.exp(chance.uniform(low, high)))
    if chance.random() < 0.5:
        data = mutated(chance, [data], mutations("gzip")[1:], limit=len(data) + 2**16)
    return data
