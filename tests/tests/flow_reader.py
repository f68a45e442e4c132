"""Reads a flow log as flowlogs-reader reads those that AWS leaves in S3, and prints its records."""

import gzip
import io
import json
import sys

from flowlogs_reader import FlowRecord, S3FlowLogsReader


class Bucket:
    """A bucket in which every file is the one that was named."""

    def get_object(self, Bucket, Key):
        with open(sys.argv[1], "rb") as log:
            packed = gzip.compress(log.read())
        return {"Body": io.BytesIO(packed), "ContentLength": len(packed)}


reader = S3FlowLogsReader("bucket/prefix", boto_client=Bucket())
records = [FlowRecord(fields).to_dict() for fields in reader._read_file("flows.log.gz")]
print(json.dumps(records, default=str))
