"""A DestinationRule in plain words: what it does, and what its author may not expect.

From outside, use ``explanation`` (explain a file's rules), ``findings`` (the table of what is looked for), ``prove``
(show a finding on a real Envoy) and ``output`` (text, JSON, SARIF). This room imports the embedded mesh, to prove.
"""
