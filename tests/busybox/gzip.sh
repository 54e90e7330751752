echo hello > f; gzip f; ls; gunzip f.gz; cat f; gzip -c f | gunzip; gzip -k f; ls; zcat f.gz; gzip -d f.gz 2>&1; echo $?
gzip -cf f | wc -c | awk '{print ($1>20)}'; echo junk > x.gz; gunzip x.gz; echo $?; gzip -t f.gz; echo $?
seq 100000 | gzip | gzip -dc | md5sum; cat f.gz f.gz | zcat
