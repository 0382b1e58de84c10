#!/usr/bin/env bash
# Try everything on a cluster with Istio that nobody needs, such as one of kind: doctor, collect, kill, restore,
# server-side apply, validate, recommend and apply. Needs kubectl, Istio's samples in $SAMPLES, and meshgym[all].
set -euo pipefail
: "${SAMPLES:?the folder samples/ of an Istio release}"
here=$(mktemp -d)
cd "$here"

say() { printf '\n== %s\n' "$*"; }
fail() { echo "FAILED: $*" >&2; exit 1; }

say "service and load generator"
kubectl label namespace default istio-injection=enabled --overwrite
kubectl apply -f "$SAMPLES/httpbin/httpbin.yaml" -f "$SAMPLES/httpbin/sample-client/fortio-deploy.yaml"
kubectl rollout status deployment/httpbin deployment/fortio-deploy --timeout=180s
kubectl port-forward deploy/fortio-deploy 8080 15000 >/dev/null &
forward=$!
trap 'kill "$forward"' EXIT
for _ in $(seq 60); do curl -fso /dev/null localhost:15000/ready && break; sleep 1; done

cat >rule.yaml <<'RULE'
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: httpbin, namespace: default, labels: {team: shop}}
spec:
  host: httpbin
  subsets: [{name: v1, labels: {version: v1}}]
  trafficPolicy:
    tls: {mode: ISTIO_MUTUAL}
    connectionPool: {tcp: {maxConnections: 77}}
RULE
kubectl apply --server-side --field-manager=owner -f rule.yaml

cluster=(--destination-rule default/httpbin --fortio http://localhost:8080/fortio/
  --target http://httpbin:8000/get --sidecar http://localhost:15000)
breaking=("${cluster[@]}" --max-p503 1)
# The object as it is, but for what every change moves on.
found() {
  kubectl get destinationrule httpbin --show-managed-fields -o json |
    python3 -c 'import json, sys
rule = json.load(sys.stdin)
for name in ("resourceVersion", "generation"):
    del rule["metadata"][name]
for entry in rule["metadata"]["managedFields"]:
    del entry["time"]
print(json.dumps(rule, sort_keys=True))'
}
before=$(found)
same() { [ "$(found)" = "$before" ] || fail "the rule isn't as it was found after $1"; }

say "doctor, dry run, collection"
meshgym doctor "${cluster[@]}"
meshgym collect --scenario S2 --rows 5 "${cluster[@]}" --dry-run
meshgym collect --scenario S2 --rows 10 --out rows "${breaking[@]}"
same "a collection"

say "kill -9, status, restore, and the same command goes on"
meshgym collect --scenario S2 --rows 40 --out killed "${breaking[@]}" &
collector=$!
sleep 12
kill -9 "$collector"
wait "$collector" || true
meshgym status | grep "is on loan" || fail "no note of the loan"
XDG_STATE_HOME=$here/elsewhere meshgym doctor --restore default/httpbin
same "a kill -9"
meshgym doctor --restore
meshgym collect --scenario S2 --rows 40 --out killed "${breaking[@]}"
same "the rest of it"

say "Ctrl-C"
timeout --signal=INT 10 meshgym collect --scenario S2 --rows 40 --out stopped "${breaking[@]}" || true
same "a Ctrl-C"

say "the owner's next server-side apply meets no conflict"
sed -i 's/maxConnections: 77/maxConnections: 78/' rule.yaml
kubectl apply --server-side --field-manager=owner -f rule.yaml
before=$(found)

say "validate, recommend, apply"
meshagents train S2 --epochs 2 --out agent.npz
meshagents validate agent.npz --contexts 3 --repeats 1 --out validation "${breaking[@]}"
meshagents recommend S2 --measure --repeats 1 --out found "${breaking[@]}"
same "a recommendation"
kubectl apply --server-side --field-manager=owner -f found/destination-rule.yaml
kubectl get destinationrule httpbin -o json | grep '"ISTIO_MUTUAL"' || fail "what was applied lost the rule's TLS"
say "all of it worked"
