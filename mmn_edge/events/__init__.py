"""Events: what somebody did from when to when, as people and models say it, and how well the two agree."""
