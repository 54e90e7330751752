touch 'a b' 'c*d'; for f in *; do echo "[$f]"; done; for f in c\**; do echo "$f"; done; for f in "c*"*; do echo "$f"; done; echo [ab]* [[:alpha:]]*
