#!/bin/sh
# Stands in for Spilo's script of this name: a real base backup of the member's own server, beside the WAL that it archives.
set -e
store=$WALG_FILE_PREFIX/basebackups_005
part=$store/.part.$$
mkdir -p -- "$store"
trap 'rm -rf -- "$part"' EXIT
now() { date -u +%Y-%m-%dT%H:%M:%SZ; }

started=$(now)
pg_basebackup --pgdata="$part" --format=tar --gzip --wal-method=fetch --checkpoint=fast --no-sync --no-password
finished=$(now)
tar -xzf "$part/base.tar.gz" -C "$part" backup_label
start=$(sed -n 's/^START WAL LOCATION: \([0-9A-F/]*\) .*/\1/p' "$part/backup_label")
wal=$(sed -n 's/^START WAL LOCATION: .*(file \([0-9A-F]*\)).*/\1/p' "$part/backup_label")
name=base_$wal
compressed=$(du -sb -- "$part" | cut -f 1)
psql -AtXq -v ON_ERROR_STOP=1 -d postgres > "$part/told" <<SQL
select json_build_object(
    'backup_name', '$name', 'time', '$finished', 'modified', '$finished', 'wal_file_name', '$wal',
    'storage_name', 'default', 'start_time', '$started', 'finish_time', '$finished',
    'date_fmt', '%Y-%m-%dT%H:%M:%S.%fZ', 'hostname', '${HOME##*/}',
    'data_dir', current_setting('data_directory'), 'pg_version', current_setting('server_version_num')::int,
    'start_lsn', '$start'::pg_lsn - '0/0',
    'finish_lsn', case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end - '0/0',
    'is_permanent', false, 'system_identifier', (select system_identifier from pg_control_system()),
    'uncompressed_size', (select sum(pg_database_size(oid)) from pg_database), 'compressed_size', $compressed);
SQL
rm -rf -- "${store:?}/$name"
mv -- "$part/told" "$store/${name}_backup_stop_sentinel.json"
mv -- "$part" "$store/$name"
ls -d "$store"/base_*_backup_stop_sentinel.json | head -n -5 | while read -r old; do
    rm -rf -- "$old" "${old%_backup_stop_sentinel.json}"
done
echo "$name is in $store/$name"
