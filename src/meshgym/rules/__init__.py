"""Traffic rules in the tongues that put them in force: Istio's DestinationRule, Envoy's cluster, Envoy Gateway.

From outside, use ``policy`` (values <-> a ``trafficPolicy``), ``destination_rule`` (files and objects of a cluster),
``envoy_cluster`` (what istiod makes of a rule), ``tongues`` (read and write the others) and ``yaml_text``. This room
knows no mesh.
"""
