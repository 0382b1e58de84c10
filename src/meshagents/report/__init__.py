"""Results as files, text, figures and one HTML page. This room computes nothing.

From outside, use ``write`` (what commands leave in a folder), ``page`` (the HTML page) and ``plots`` (figures). This
room imports experiments and all above it, but not recommendations.
"""
