#!/bin/sh
# Stands in for daemontools' envdir: the variables themselves are not needed here, and are missing where nothing is archived.
if [ ! -d "$HOME/wal-e.d/env" ]; then
    echo "envdir: fatal: unable to switch to directory $1: file does not exist" >&2
    exit 111
fi
shift
# No folder of this machine is called /scripts: what Spilo has there is on the search path.
case "$1" in
/scripts/*)
    program=${1#/scripts/}
    shift
    set -- "$program" "$@"
    ;;
esac
exec "$@"
