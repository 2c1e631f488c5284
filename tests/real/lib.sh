# Sourced by build, up, enter, part and down. Everything fetched, built, written or run is below PGDECK_REAL_HOME, but for
# /etc/netns/NAME/hosts, and for Go's caches where this machine's Go has the modules already (build: keep_caches).
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
home=${PGDECK_REAL_HOME:-/var/tmp/pgdeck-real} # the user that runs the Postgres servers must be able to enter it
name=${PGDECK_REAL_NAME:-pgdeck-real}          # of the network namespace; two names stand side by side
k8s=${PGDECK_REAL_K8S:-1.35.4} kwok=${PGDECK_REAL_KWOK:-0.8.0} operator=${PGDECK_REAL_OPERATOR:-1.15.1}
patroni=${PGDECK_REAL_PATRONI:-} # of PyPI; without one PATRONI, or the machine's own
[ -z "$patroni" ] || export PATRONI=$home/patroni-$patroni/bin/patroni
bin=$home/bin run=$home/run/$name
pki=$run/pki log=$run/log pids=$run/pids
hosts=/etc/netns/$name/hosts
pgdeck=${PGDECK:-${CARGO_TARGET_DIR:-$here/../../target}/debug/pgdeck}
network=10.64.0.0/16
parts=(etcd kube-apiserver kube-controller-manager kube-scheduler kwok node operator)

complain() { echo "tests/real: $*" >&2; exit 1; }
# as_root ARGUMENT…: begins the script again by sudo, where we are not root: a network of its own takes root's rights.
as_root() {
  local ours
  [ "$(id -u)" -ne 0 ] || return 0
  command -v sudo >/dev/null ||
    complain "a network of its own takes root's rights: install sudo, run it as root, or set PGDECK_SKIP_REAL=1"
  mapfile -t ours < <(env | grep -E '^(PGDECK|CARGO|RUST|PIP_|GO|SSL_CERT_|(PATRONI|PGBIN)=|(HTTPS?|ALL|NO|https?|all|no)_(PROXY|proxy)=)')
  exec sudo env "PATH=$PATH" "${ours[@]}" "$0" "$@"
}
inside() { ip netns exec "$name" "$@"; }
kubectl() { inside "$bin/kubecp-$k8s" kubectl --kubeconfig "$run/kubeconfig-admin" "$@"; }
# When a process started, in ticks since the boot: with its pid, nobody else's.
birth() { sed -E 's/.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }
is_alive() { # PID BIRTH
  [ -n "$2" ] && [ "$(birth "$1")" = "$2" ] && ! grep -q '^State:[[:space:]]*[ZX]' "/proc/$1/status" 2>/dev/null
}

# start PART: begins one part inside, and keeps its log and its pid under its name.
start() {
  setsid ip netns exec "$name" "${@:2}" >>"$log/$1.log" 2>&1 </dev/null &
  echo "$! $(birth $!)" >"$pids/$1"
  disown
}

# A program that fails is begun again a second later, as a Deployment does: 1.9.0 panics where it deletes what it never made.
again='trap "kill \$child; wait \$child; exit" TERM; until "$@" & child=$!; wait $child; do sleep 1; done'

# stop PART: ends exactly the process that start began.
stop() {
  local pid born
  [ -f "$pids/$1" ] || return 0
  read -r pid born <"$pids/$1"
  rm -f "$pids/$1"
  end "$pid" "$born"
}

# end PID BIRTH: asks it to end, and kills it if it has not within 20 s.
end() {
  is_alive "$1" "$2" && kill "$1" 2>/dev/null || return 0
  for _ in $(seq 200); do
    is_alive "$1" "$2" || return 0
    sleep 0.1
  done
  kill -9 "$1" 2>/dev/null || true
}

begin() { # PART
  local as="$run/kubeconfig-" cp=$bin/kubecp-$k8s
  case $1 in
    etcd) start etcd "$cp" etcd --data-dir "$run/etcd" --unsafe-no-fsync --log-level warn ;;
    kube-apiserver)
      start kube-apiserver "$cp" kube-apiserver --etcd-servers http://127.0.0.1:2379 --bind-address 127.0.0.1 --secure-port 6443 \
        --advertise-address 10.64.0.1 --endpoint-reconciler-type none --authorization-mode RBAC --allow-privileged \
        --token-auth-file "$pki/tokens.csv" --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" \
        --service-account-issuer https://kubernetes.default.svc --service-account-key-file "$pki/sa.key" \
        --service-account-signing-key-file "$pki/sa.key" --service-cluster-ip-range 10.96.0.0/16 \
        --kubelet-preferred-address-types InternalIP --audit-policy-file "$here/audit.yaml" --audit-log-path "$run/audit.log"
      ;;
    kube-controller-manager)
      start kube-controller-manager "$cp" kube-controller-manager --kubeconfig "${as}kcm" --bind-address 127.0.0.1 --leader-elect=false \
        --cert-dir "$pki/kcm" --service-account-private-key-file "$pki/sa.key" --root-ca-file "$pki/ca.crt" \
        --kube-api-qps 200 --kube-api-burst 400 --pvclaimbinder-sync-period 3s --node-monitor-grace-period 10m
      ;;
    kube-scheduler)
      start kube-scheduler "$cp" kube-scheduler --kubeconfig "${as}scheduler" --bind-address 127.0.0.1 --leader-elect=false \
        --cert-dir "$pki/scheduler" --kube-api-qps 200 --kube-api-burst 400
      ;;
    kwok)
      start kwok "$bin/kwok-$kwok" --kubeconfig "${as}kwok" --manage-all-nodes --cidr "$network" --node-ip 127.0.0.1 \
        --node-port 10250 --server-address 127.0.0.1:10250 --tls-cert-file "$pki/server.crt" --tls-private-key-file "$pki/server.key" \
        --node-lease-duration-seconds 40 --config "$bin/kwok-$kwok.yaml" --config "$here/stages.yaml" --enable-crds=PortForward,Exec,Logs
      ;;
    node) start node "$pgdeck" sandbox node --kubeconfig "${as}node" --base "$run/node" --names "$hosts" ;;
    operator)
      local rates=(-kubeqps 50 -kubeburst 100)
      "$bin/postgres-operator-$operator" -help 2>&1 | grep -q kubeqps || rates=() # before 1.10
      start operator env OPERATOR_NAMESPACE=default POSTGRES_OPERATOR_CONFIGURATION_OBJECT=real CRD_READY_WAIT_INTERVAL=1s \
        sh -c "$again" operator "$bin/postgres-operator-$operator" -kubeconfig "${as}operator" -outofcluster -noteamsapi "${rates[@]}"
      ;;
    *) complain "no part is called $1; there are: ${parts[*]}" ;;
  esac
}

# wait_for SECONDS WHAT COMMAND…: until the command succeeds.
wait_for() {
  local seconds=$1 what=$2 until=$((SECONDS + $1))
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || complain "$what did not come within $seconds s; logs: $log"
    sleep 0.1
  done
}
