# Put into both packages' scripts that run before anything is unpacked (deb: preinst, rpm: %pre).
#
# A package that is older than this host's databases is refused while the newer one is still whole. Its
# programs would refuse to start, and evidence would wait; so nothing is exchanged at all.
# The version of an SQLite file's schema are the bytes 60 to 63 of its header (sqlite.org/fileformat2.html).
# What is only in a write-ahead log cannot be read here: then what the installed package knows counts.
refuse_older() { # DATABASE KNOWN FOLDER
    folder=$(msp-evidence config show --effective 2>/dev/null | sed -n "s/^paths\.$3 = \"\([^\"]*\)\".*/\1/p" || true)
    file=${folder:-/var/lib/msp/$3}/$1
    [ -f "$file" ] || return 0
    version=$(od -An -j60 -N4 -tu1 "$file" | { read -r a b c d && echo $(((a << 24) + (b << 16) + (c << 8) + d)); })
    if [ -s "$file-wal" ] && [ -r /usr/share/msp-evidence/schemas ]; then
        installed=$(sed -n "s/^$3 //p" /usr/share/msp-evidence/schemas)
        [ "${installed:-0}" -le "$version" ] || version=$installed
    fi
    [ "$version" -gt "$2" ] || return 0
    echo "@PACKAGE@ @VERSION@ is refused: $file has schema $version, and this version knows $2." >&2
    echo "It was written by a newer version. Nothing was changed; keep that one, or install a newer one." >&2
    exit 1
}
refuse_older spool.db @SPOOL@ spool
refuse_older delivery.db @DELIVERY@ delivery
