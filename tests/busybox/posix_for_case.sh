for x do echo "$x"; done
set -- 1 2; for x do echo "$x"; done; for x; do echo "-$x"; done
case abc in a?c) echo q;; esac; case a in [!b-z]) echo neg;; esac; case 'a*' in a\*) echo lit;; esac
case x in y|x) echo alt;; esac; v='*'; case abc in $v) echo var;; esac; case abc in "$v") echo no;; *) echo quoted;; esac
