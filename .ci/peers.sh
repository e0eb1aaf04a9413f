# The programs that lading is tested and measured beside, in these versions, on PATH. To be sourced. Needs Debian, and root
# or sudo without a password where a package is missing; what is written in Go is installed where there is Go.
tools=${XDG_CACHE_HOME:-$HOME/.cache}/lading-ci/bin

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# debian_install PACKAGE...
debian_install() {
  local package missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed$' || missing+=("$package")
  done
  if [ "${#missing[@]}" -gt 0 ]; then
    echo "installing: ${missing[*]}"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
      apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
  else
    echo "all installed: $*"
  fi
}

# go_install FOLDER PROGRAM@VERSION
go_install() {
  local name
  name=$(basename "${2%@*}")
  if ! go version -m "$1/$name" 2>/dev/null | grep -q "^[[:space:]]mod[[:space:]].*[[:space:]]${2#*@}[[:space:]]"; then
    echo "installing $2"
    GOBIN=$1 GOFLAGS=-mod=mod go install "$2"
  fi
}

go_peers() {
  command -v go >/dev/null || return 0
  mkdir -p "$tools"
  go_install "$tools" github.com/google/go-containerregistry/cmd/crane@v0.20.6
  go_install "$tools" oras.land/oras/cmd/oras@v1.3.3
  go_install "$tools" github.com/regclient/regclient/cmd/regctl@v0.11.7
  go_install "$tools" github.com/regclient/regclient/cmd/regsync@v0.11.7
  go_install "$tools" helm.sh/helm/v3/cmd/helm@v3.19.2
  export PATH=$tools:$PATH
}
