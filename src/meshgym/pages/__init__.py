"""Pages and figures that people read, in a light and a dark theme, with nothing from elsewhere.

From outside, use ``page`` (sections as HTML) and ``figures`` (Matplotlib's figures as SVG in the page's colours).
"""
