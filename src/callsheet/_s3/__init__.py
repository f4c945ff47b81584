"""S3, spoken over our own road: resumed, reported, cancelled and conditional, on either event loop.

`Bucket` says the single calls, in the order in which the manual lists them; `upload` sends a file of any size
with them. Signatures are those of `callsheet._signing`.
"""

from callsheet._s3._bucket import Bucket
from callsheet._s3._parts import PART, upload
from callsheet._s3._wire import Found, Part

__all__ = ["PART", "Bucket", "Found", "Part", "upload"]
