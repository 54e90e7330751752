date -u -d @0; date -u -d @86400 +%Y-%m-%d; date -u -d '2024-02-29 12:34:56' '+%a %b %e %H:%M:%S %Z %Y'
date -u -d @1700000000 '+%j %U %W %V %u %w %y %C %I %p %s %z %D %F %T %R'
TZ=KST-9 date -d @0 '+%F %T %Z %z'; TZ=CET-1CEST,M3.5.0,M10.5.0/3 date -d @1720000000 '+%F %T %Z'
TZ=EST5EDT date -d @1700000000 '+%H %Z'; date -u -R -d @0; date -u -I -d @0; date -u -Iseconds -d @0
date -d nonsense; echo $?
