#!/usr/bin/env bash
# Builds the real control plane that the tests run on: etcd, kube-apiserver, kube-controller-manager, kube-scheduler and
# kubectl. Needs Go and the Go module proxy, once; does nothing while what is there is up to date.
# The last line on standard output is the variable to set, so that `eval "$(tests/control-plane/build.sh)"` sets it.
# Output: target/control-plane, or the folder named by CONTROL_PLANE_DIR.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
out=${CONTROL_PLANE_DIR:-${CARGO_TARGET_DIR:-$here/../../target}/control-plane}
mkdir -p "$out"
out=$(cd "$out" && pwd)

command -v go >/dev/null || {
  echo "the control plane is built with Go, and go is not on the PATH: install Go, or set KUBEBUILDER_ASSETS to a folder that setup-envtest laid out" >&2
  exit 1
}
cd "$here"

# The version that the binaries say is the one of the module, so that the two cannot drift apart.
kubernetes=$(sed -n 's#^\tk8s.io/kubernetes \(v[0-9.]*\)$#\1#p' go.mod)
[ -n "$kubernetes" ] || { echo "go.mod names no version of k8s.io/kubernetes" >&2; exit 1; }
IFS=. read -r major minor _ <<<"${kubernetes#v}"
base=k8s.io/component-base/version
client=k8s.io/client-go/pkg/version
flags="-s -w -X $base.gitVersion=$kubernetes -X $base.gitMajor=$major -X $base.gitMinor=$minor -X $client.gitVersion=$kubernetes"

state=$(cat main.go go.mod go.sum build.sh | sha256sum | cut -d ' ' -f 1)
if [ -x "$out/kube-apiserver" ] && [ "$(cat "$out/built-from" 2>/dev/null)" = "$state" ]; then
  echo "control plane $kubernetes is up to date in $out" >&2
else
  echo "building control plane $kubernetes in $out (several minutes the first time)" >&2
  rm -f "$out/built-from"
  # Beside its place first: a program that is running cannot be written over, and half a program is none.
  go build -mod=readonly -buildvcs=false -trimpath -ldflags "$flags" -o "$out/control-plane.new" .
  mv "$out/control-plane.new" "$out/control-plane"
  for name in etcd kube-apiserver kube-controller-manager kube-scheduler kubectl; do
    ln -sfn control-plane "$out/$name"
  done
  echo "$state" >"$out/built-from"
  echo "control plane $kubernetes is in $out" >&2
fi
printf 'export KUBEBUILDER_ASSETS=%q\n' "$out"
