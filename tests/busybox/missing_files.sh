for a in cat head wc sort uniq "cut -c1" "sed p" "grep x" "awk 1" nl "fold -w2" rev tac paste xxd "hexdump -C" md5sum base64 strings ls stat rm rmdir "chmod 644" find sha256sum; do
    echo "== $a"; $a nosuchfile </dev/null 2>&1; echo $?
done
