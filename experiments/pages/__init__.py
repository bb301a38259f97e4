"""Pages made of tables and verdicts, in seconds, with nothing trained and nothing fetched.

* `drawing`: draws panels and contrasts; captions follow from what is drawn.
* `sentences`: effects, verdicts and summaries in words.
* `style`: the style sheet, and the frame of a page.
* `claim`: the page of a claim.
* `index`: the page of all claims, and *What did not hold*.
* `readme`: the table of the README.
* `publish`: judges a folder and writes everything that follows from its tables.
"""
