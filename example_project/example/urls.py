from django.contrib import admin
from django.urls import path
from mailinglist import views

urlpatterns = [
    path("", views.MailingList.as_view(), name="mailings"),
    path("join/", views.SignUp.as_view(), name="sign-up"),
    path("joined/", views.Joined.as_view(), name="joined"),
    path("admin/", admin.site.urls),
]
