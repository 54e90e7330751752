while read -r l; do echo "<$l>"; done <<E
one
two words
E
