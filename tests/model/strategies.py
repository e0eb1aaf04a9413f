"""What tags may look like."""

from hypothesis import strategies as st

versions = st.from_regex(
    r"v?[0-9]{1,3}(\.[0-9]{1,2}){0,3}(-[0-9a-z-]{1,3}(\.[0-9a-z]{1,3}){0,2})?([+_][0-9a-z]{1,3})?", fullmatch=True
)
_odd = st.sampled_from(["latest", "v", "1..2", "-1", "1-", "1.0-", "v1.0.0-a..b", "1.0.0--", "٣", "1.٣", "1-²", ""])
anything = _odd | versions | st.text(max_size=8)
