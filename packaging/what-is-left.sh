    # Said, since nobody expects a purge to leave anything.
    for left in /var/lib/msp /etc/msp; do
        [ ! -d "$left" ] || echo "msp-evidence-agent: left as it is: $left, $(find "$left" -type f | wc -l) files"
    done
    if [ -d /var/lib/msp ]; then
        echo "msp-evidence-agent: evidence that no bucket has confirmed is only there; the users msp-agent and"
        echo "msp-evidence-agent: msp-uploader, whose files these are, are left, too."
    fi
