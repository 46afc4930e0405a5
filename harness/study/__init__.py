"""Human evaluation without a screen: who rates what, what was said, and what it is worth.

`service` is all that a rating screen may ask, `admin` all that the people who run a study may, `ratings` what statistics
work on. The annotator's side never sees which system wrote a text: tables that know it are in `identity`, and a test holds
the service to not importing them and to never querying them.
"""
