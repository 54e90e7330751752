truncate -s 5 f; stat -c %s f; t=$(mktemp); [ -f "$t" ] && echo made; d=$(mktemp -d ./tmp.XXXXXX); [ -d "$d" ] && echo dir; rm "$t"
