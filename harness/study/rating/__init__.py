"""The annotator's side: seats, work, claims, forms. It imports `study.tables` alone, so it cannot learn who wrote a text."""
