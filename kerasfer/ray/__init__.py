"""Photos by the million, on one machine or on many: Ray Data reads, finds, aligns and recognizes, shard by shard.

    from kerasfer.ray import recognize, recognize_many

    recognize_many("s3://photos/2024/", "s3://answers/2024/")  # Parquet files; run again, it resumes where it stopped
    rows = recognize(ray.data.read_parquet("photos.parquet"))  # a stage of a pipeline of one's own

Needs `pip install 'kerasfer[ray]'`.
"""

from kerasfer.ray.counts import Counts
from kerasfer.ray.places import BulkError
from kerasfer.ray.run import Progress, Report, recognize, recognize_many

__all__ = ["BulkError", "Counts", "Progress", "Report", "recognize", "recognize_many"]
