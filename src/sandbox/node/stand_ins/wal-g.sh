#!/bin/sh
# Stands in for WAL-G: archives into a local folder, in one move, and keeps the newest few; lists what postgres_backup.sh made.
case "$1 $*" in
"wal-push "*)
    name=${2##*/}
    cp -- "$2" "$WALG_FILE_PREFIX/.$name" && mv -- "$WALG_FILE_PREFIX/.$name" "$WALG_FILE_PREFIX/$name" || exit 1
    cd "$WALG_FILE_PREFIX" && ls -tp | grep -v / | tail -n +9 | while read -r old; do rm -f -- "$old"; done
    ;;
"backup-list "*--json*)
    comma=
    printf '['
    for told in "$WALG_FILE_PREFIX"/basebackups_005/*_backup_stop_sentinel.json; do
        [ -f "$told" ] || continue
        printf '%s' "$comma"
        cat -- "$told"
        comma=,
    done
    echo ']'
    ;;
*)
    echo "wal-g: $* is not known here" >&2
    exit 1
    ;;
esac
